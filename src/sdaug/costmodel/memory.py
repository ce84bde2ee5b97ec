"""The highest sum of tensor bytes during one call, found by running its phases on the meta device."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sdaug.costmodel.architecture import SD15, dimensions
from sdaug.costmodel.networks import Storage, Variant, denoiser, text_encoder, vae
from sdaug.costmodel.parts import Dtype, check_sizes, meta

Phase = Literal["encode", "hint", "denoise", "decode"]


@dataclass(frozen=True)
class Plan:
    """A call of a pipeline, as far as its memory goes.

    images: denoised and decoded at once; the photo's side is encoded one image at a time. guided: some step is.
    vae_tile: the side of a tile in pixels, None for no tiling. encoder_freed: the VAE's encoder is dropped once it has
    encoded. text_encoder: it stays in memory. fp8_storage: weights of linear layers and convolutions of UNet and
    ControlNet kept in 8 bits and widened layer by layer. int8_linear: those of linear layers only, with a scale for
    each output. attention_slice: as in `Variant`. networks: `architecture.described` of the model, SD1.5's where empty.
    A face adapter comes on top.
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
    attention_slice: Literal["auto", "max"] | int | None = None
    networks: str = SD15

    def __post_init__(self) -> None:
        check_sizes(self.images, self.size, self.dtype)
        if self.fp8_storage and self.int8_linear:
            raise ValueError("fp8_storage and int8_linear keep the same weights in two ways; one of them expected")
        Variant(vae_tile=self.vae_tile)  # refuses what is no tile

    @property
    def variant(self) -> Variant:
        """UNet and ControlNet of this call."""
        storage: Storage = "fp8" if self.fp8_storage else "int8" if self.int8_linear else "plain"
        return Variant(self.attention_slice, storage, None, self.networks)


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
    variant, networks = plan.variant, plan.networks
    own_vae = vae(plan.vae, plan.dtype, plan.vae_slicing, plan.vae_tile, networks)
    weights = {"unet": weight_bytes(denoiser("unet", plan.dtype, variant)[0]), "vae": weight_bytes(own_vae)}
    if plan.controlnet:
        weights["controlnet"] = sum(weight_bytes(part) for part in denoiser("controlnet", plan.dtype, variant))
    if plan.text_encoder:
        weights["text_encoder"] = weight_bytes(text_encoder(plan.dtype, networks))
    everything = sum(weights.values())
    encoder = [own_vae.encoder, getattr(own_vae, "quant_conv", None)]  # neither a tiny VAE nor every other has the last
    freed = sum(weight_bytes(part) for part in encoder if part is not None) if plan.encoder_freed else 0
    later = everything - freed
    shape = (plan.images, plan.size, plan.dtype)
    tile = (plan.vae, plan.dtype, plan.vae_slicing, plan.vae_tile, networks)
    phases: dict[Phase, int] = {"encode": everything + _encode(plan.images, plan.size, *tile)}
    if plan.controlnet:
        phases["hint"] = later + _hint(*shape, variant)
    phases["denoise"] = later + _denoise(*shape, variant, plan.guided, plan.controlnet)
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
def _encode(images: int, size: int, kind: str, dtype: Dtype, slicing: bool, tile: int | None, networks: str) -> int:
    network = vae(kind, dtype, slicing, tile, networks)

    def run() -> None:
        kept = []
        for _ in range(images):
            encoded = network.encode(meta(1, 3, size, size, dtype=dtype))
            spread = getattr(encoded, "latent_dist", None)
            kept.append(encoded.latents if spread is None else (spread.mean, spread.std))
            del encoded, spread

    return _peak(run)


@cache
def _hint(images: int, size: int, dtype: Dtype, variant: Variant) -> int:
    _, hint = denoiser("controlnet", dtype, variant)

    def run() -> None:
        kept = _kept(images, size, dtype, variant.networks)
        hint(meta(images, 3, size, size, dtype=dtype))
        del kept

    return _peak(run)


@cache
def _denoise(images: int, size: int, dtype: Dtype, variant: Variant, guided: bool, controlled: bool) -> int:
    """One step; the others are like it."""
    import torch

    (unet,) = denoiser("unet", dtype, variant)
    controlnet = denoiser("controlnet", dtype, variant)[0] if controlled else None

    def run() -> None:
        kept = _kept(images, size, dtype, variant.networks)
        hints: Any = _ready_hints(images, size, dtype, variant.networks) if controlled else None
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
def _decode(
    images: int, size: int, controlled: bool, kind: str, dtype: Dtype, slicing: bool, tile: int | None, networks: str
) -> int:
    network = vae(kind, dtype, slicing, tile, networks)

    def run() -> None:
        kept = _kept(images, size, dtype, networks)
        hints = _ready_hints(images, size, dtype, networks) if controlled else None
        network.decode(_latents(images, size, dtype, networks) / 0.18215, return_dict=False)
        del kept, hints

    return _peak(run)


def _kept(images: int, size: int, dtype: Dtype, networks: str) -> list[Any]:
    """What a call holds from beginning to end: source latents, noise, the prompts."""
    latents = [_latents(images, size, dtype, networks) for _ in range(2)]
    return [*latents, meta(2, 77, dimensions(networks).prompt, dtype=dtype)]


def _latents(images: int, size: int, dtype: Dtype, networks: str) -> Any:
    return meta(images, dimensions(networks).latents, size // 8, size // 8, dtype=dtype)


def _ready_hints(images: int, size: int, dtype: Dtype, networks: str) -> Any:
    return meta(images, dimensions(networks).hint, size // 8, size // 8, dtype=dtype)
