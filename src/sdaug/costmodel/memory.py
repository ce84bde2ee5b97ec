"""The highest sum of tensor bytes during one call, found by running its phases on the meta device."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sdaug.costmodel.architecture import build
from sdaug.costmodel.parts import Dtype, check_sizes, meta, split_controlnet

Phase = Literal["encode", "hint", "denoise", "decode"]
Storage = Literal["plain", "fp8", "int8"]


@dataclass(frozen=True)
class Plan:
    """A call of the full-size pipeline, as far as its memory goes.

    images: denoised and decoded at once; the photo's side is encoded one image at a time. guided: some step is.
    vae_tile: the side of a tile in pixels, None for no tiling. encoder_freed: the VAE's encoder is dropped once it has
    encoded. text_encoder: it stays in memory. fp8_storage: weights of linear layers and convolutions of UNet and
    ControlNet kept in 8 bits and widened layer by layer. int8_linear: those of linear layers only, with a scale for
    each output. A face adapter comes on top.
    """

    images: int = 1
    guided: bool = False
    controlnet: bool = True
    size: int = 512
    dtype: Dtype = "float16"
    vae: Literal["standard", "tiny"] = "standard"
    vae_slicing: bool = False
    vae_tile: int | None = None
    encoder_freed: bool = False
    text_encoder: bool = False
    fp8_storage: bool = False
    int8_linear: bool = False

    def __post_init__(self) -> None:
        check_sizes(self.images, self.size, self.dtype)
        if self.fp8_storage and self.int8_linear:
            raise ValueError("fp8_storage and int8_linear keep the same weights in two ways; one of them expected")
        if self.vae_tile is not None and (self.vae_tile < 64 or self.vae_tile % 8):
            raise ValueError(f"vae_tile {self.vae_tile}; a multiple of 8, 64 or more, expected")


@dataclass(frozen=True)
class Peak:
    """Bytes. phases: the highest sum of tensors in each; weights: each network's, while all of them are there.

    Without the allocator's rounding, kernels' workspace and a GPU's context: compare with
    torch.cuda.max_memory_allocated, not with what a process takes.
    """

    phases: dict[Phase, int]
    weights: dict[str, int]

    @property
    def bytes(self) -> int:
        return max(self.phases.values())

    @property
    def phase(self) -> Phase:
        """The one that needs most."""
        return max(self.phases, key=lambda phase: self.phases[phase])


def allocated_peak(plan: Plan) -> Peak:
    """Counted for each phase with every network of the plan resident and what the call holds on to.

    >>> peak = allocated_peak(Plan(images=5, vae="tiny", vae_slicing=True))
    >>> peak.phase, round(peak.bytes / 1e9, 2)
    ('denoise', 2.9)
    """
    storage: Storage = "fp8" if plan.fp8_storage else "int8" if plan.int8_linear else "plain"
    vae = _vae(plan.vae, plan.dtype, plan.vae_slicing, plan.vae_tile)
    weights = {"unet": weight_bytes(_denoiser("unet", plan.dtype, storage)[0]), "vae": weight_bytes(vae)}
    if plan.controlnet:
        weights["controlnet"] = sum(weight_bytes(part) for part in _denoiser("controlnet", plan.dtype, storage))
    if plan.text_encoder:
        weights["text_encoder"] = weight_bytes(_text_encoder(plan.dtype))
    everything = sum(weights.values())
    encoder = [vae.encoder, vae.quant_conv] if plan.vae == "standard" else [vae.encoder]
    later = everything - (sum(weight_bytes(part) for part in encoder) if plan.encoder_freed else 0)
    shape = (plan.images, plan.size, plan.dtype)
    tile = (plan.vae, plan.dtype, plan.vae_slicing, plan.vae_tile)
    phases: dict[Phase, int] = {"encode": everything + _encode(plan.images, plan.size, *tile)}
    if plan.controlnet:
        phases["hint"] = later + _hint(*shape, storage)
    phases["denoise"] = later + _denoise(*shape, storage, plan.guided, plan.controlnet)
    phases["decode"] = later + _decode(plan.images, plan.size, plan.controlnet, *tile)
    return Peak(phases, weights)


def weight_bytes(network: Any) -> int:
    """Of parameters and buffers, in the types they are stored in."""
    return sum(t.nbytes for t in (*network.parameters(), *network.buffers()))


def _peak(run: Callable[[], Any]) -> int:
    import torch

    from sdaug.costmodel.count import counting

    with torch.no_grad(), counting() as counter:
        run()
    return counter.peak_live_bytes


@cache
def _encode(images: int, size: int, vae: str, dtype: Dtype, slicing: bool, tile: int | None) -> int:
    network = _vae(vae, dtype, slicing, tile)

    def run() -> None:
        kept = []
        for _ in range(images):
            encoded = network.encode(meta(1, 3, size, size, dtype=dtype))
            spread = getattr(encoded, "latent_dist", None)
            kept.append(encoded.latents if spread is None else (spread.mean, spread.std))
            del encoded, spread

    return _peak(run)


@cache
def _hint(images: int, size: int, dtype: Dtype, storage: Storage) -> int:
    _, hint = _denoiser("controlnet", dtype, storage)

    def run() -> None:
        kept = _kept(images, size, dtype)
        hint(meta(images, 3, size, size, dtype=dtype))
        del kept

    return _peak(run)


@cache
def _denoise(images: int, size: int, dtype: Dtype, storage: Storage, guided: bool, controlled: bool) -> int:
    """One step; the others are like it."""
    import torch

    (unet,) = _denoiser("unet", dtype, storage)
    controlnet = _denoiser("controlnet", dtype, storage)[0] if controlled else None

    def run() -> None:
        kept = _kept(images, size, dtype)
        hints: Any = meta(images, 320, size // 8, size // 8, dtype=dtype) if controlled else None
        latents, timestep = torch.zeros_like(kept[0]), meta(dtype="int64")
        prompts = kept[2][:1].expand(images, -1, -1)
        seen, seen_hints = latents, hints
        if guided:
            seen, prompts = torch.cat([latents] * 2), torch.cat([prompts] * 2)
            seen_hints = torch.cat([hints] * 2) if controlled else None
        residuals: dict[str, Any] = {}
        if controlnet is not None:
            down, middle = controlnet(seen, timestep, prompts, controlnet_cond=seen_hints, return_dict=False)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        unet(seen, timestep, encoder_hidden_states=prompts, return_dict=False, **residuals)
        del kept, hints

    return _peak(run)


@cache
def _decode(images: int, size: int, controlled: bool, vae: str, dtype: Dtype, slicing: bool, tile: int | None) -> int:
    network = _vae(vae, dtype, slicing, tile)

    def run() -> None:
        kept = _kept(images, size, dtype)
        hints = meta(images, 320, size // 8, size // 8, dtype=dtype) if controlled else None
        network.decode(meta(images, 4, size // 8, size // 8, dtype=dtype) / 0.18215, return_dict=False)
        del kept, hints

    return _peak(run)


def _kept(images: int, size: int, dtype: Dtype) -> list[Any]:
    """What a call holds from beginning to end: source latents, noise, the prompts."""
    latents = (images, 4, size // 8, size // 8)
    return [meta(*latents, dtype=dtype), meta(*latents, dtype=dtype), meta(2, 77, 768, dtype=dtype)]


@cache
def _denoiser(part: Literal["unet", "controlnet"], dtype: Dtype, storage: Storage) -> tuple[Any, ...]:
    """The UNet, or ControlNet and the network that makes its hints, with weights kept as `storage` says."""
    import torch

    compute = getattr(torch, dtype)
    network = build(part, dtype=compute)
    parts = (network, split_controlnet(network)) if part == "controlnet" else (network,)
    if storage == "fp8":
        network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=compute)
    elif storage == "int8":
        _keep_linear_in_int8(network)
    return parts


@cache
def _vae(kind: str, dtype: Dtype, slicing: bool, tile: int | None) -> Any:
    import torch

    vae = build("vae" if kind == "standard" else "tiny_vae", dtype=getattr(torch, dtype))
    vae.use_slicing = slicing
    if tile is not None:
        vae.use_tiling = True
        vae.tile_sample_min_size, vae.tile_latent_min_size = tile, tile // 8
    return vae


@cache
def _text_encoder(dtype: Dtype) -> Any:
    import torch

    return build("text_encoder", dtype=getattr(torch, dtype))


def _keep_linear_in_int8(network: Any) -> None:
    """Linear layers replaced by ones that hold 8-bit weights and widen them when they run, as torchao's do."""
    import torch

    class Int8Linear(torch.nn.Module):
        weight: Any
        scale: Any

        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.register_buffer("weight", torch.empty_like(layer.weight, dtype=torch.int8))
            self.register_buffer("scale", torch.empty_like(layer.weight[:, 0]))
            self.bias = layer.bias

        def forward(self, x: Any) -> Any:
            y = torch.nn.functional.linear(x, self.weight.to(x.dtype)) * self.scale
            return y if self.bias is None else y + self.bias

    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, Int8Linear(child))
