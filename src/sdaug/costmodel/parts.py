"""What one run of each part of a pipeline costs, counted on the meta device in under a second each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from sdaug.costmodel.architecture import dimensions
from sdaug.costmodel.networks import PLAIN, Variant, denoiser, text_encoder, vae
from sdaug.costmodel.work import Work

Dtype = Literal["float32", "float16", "bfloat16"]
PartName = Literal[
    "unet", "unet_residuals", "controlnet", "hint", "vae_encode", "vae_decode", "tiny_encode", "tiny_decode",
    "text_encoder",
]  # fmt: skip

PART_NAMES: tuple[PartName, ...] = get_args(PartName)


@dataclass(frozen=True, kw_only=True)
class PartCost(Work):
    """The work of one run of a part, and the memory it takes.

    parameters: their number; parameter_bytes: in the dtype that was asked for. live_bytes: the highest sum of tensors
    that exist during the run, without parameters and inputs, with its output.
    """

    parameters: int
    parameter_bytes: int
    live_bytes: int


@cache
def count_part(
    name: PartName, batch: int = 1, size: int = 512, dtype: Dtype = "float16", variant: Variant = PLAIN
) -> PartCost:
    """One run on `batch` images of `size` x `size` pixels; a guided step runs twice its images.

    unet_residuals: the UNet when it adds what ControlNet gave it. controlnet: on a ready hint; hint: the small network
    that makes one of the control image. text_encoder: `batch` prompts of 77 tokens, whatever the size.

    >>> cost = count_part("hint")
    >>> cost.parameters, round(cost.flops / 1e9, 1)
    (1086480, 14.7)
    """
    import torch

    from sdaug.costmodel.count import counting

    if name not in PART_NAMES:
        raise ValueError(f"unknown part {name!r}; there are: {', '.join(PART_NAMES)}")
    check_sizes(batch, size, dtype)
    modules, run = _part(name, batch, size, dtype, variant)
    parameters = {id(p): p for module in modules for p in module.parameters()}.values()
    with torch.no_grad(), counting() as counter:
        run()
    return PartCost(
        counter.work.ops,
        parameters=sum(p.numel() for p in parameters),
        parameter_bytes=sum(p.nbytes for p in parameters),
        live_bytes=counter.peak_live_bytes,
    )


def check_sizes(batch: int, size: int, dtype: str) -> None:
    """Raises ValueError for what no pipeline runs."""
    if batch < 1:
        raise ValueError(f"a batch of {batch}; 1 or more expected")
    if size < 8 or size % 8:
        raise ValueError(f"a size of {size} px; a positive multiple of 8 expected")
    if dtype not in get_args(Dtype):
        raise ValueError(f"unknown dtype {dtype!r}; there are: {', '.join(get_args(Dtype))}")


def meta(*shape: int, dtype: str = "float16") -> Any:
    """A tensor without values."""
    import torch

    return torch.empty(shape, dtype=getattr(torch, dtype), device="meta")


def _part(name: PartName, batch: int, size: int, dtype: Dtype, variant: Variant) -> tuple[list[Any], Callable[[], Any]]:
    """The modules whose parameters belong to a part, and a call of it with its inputs ready."""
    of, networks = dimensions(variant.networks), variant.networks
    pixels = meta(batch, 3, size, size, dtype=dtype)
    latents = meta(batch, of.latents, size // 8, size // 8, dtype=dtype)
    timestep, prompts = meta(dtype="int64"), meta(batch, 77, of.prompt, dtype=dtype)
    if name in ("unet", "unet_residuals"):
        (unet,) = denoiser("unet", dtype, variant.of_denoisers)
        residuals = residual_shapes(batch, size, dtype, networks) if name == "unet_residuals" else {}
        return [unet], lambda: unet(latents, timestep, encoder_hidden_states=prompts, **residuals)
    if name in ("controlnet", "hint"):
        controlnet, hint = denoiser("controlnet", dtype, variant.of_denoisers)
        ready = meta(batch, of.hint, size // 8, size // 8, dtype=dtype)
        if name == "hint":
            return [hint], lambda: hint(pixels)
        return [controlnet], lambda: controlnet(latents, timestep, prompts, controlnet_cond=ready)
    if name == "text_encoder":
        encoder = text_encoder(dtype, networks)
        tokens = meta(batch, 77, dtype="int64")
        return [encoder], lambda: encoder(tokens)
    standard = name in ("vae_encode", "vae_decode")
    network = vae("standard" if standard else "tiny", dtype, False, variant.vae_tile, networks)
    encodes = name in ("vae_encode", "tiny_encode")
    beside = [network.quant_conv if encodes else network.post_quant_conv] if standard else []
    # A model may have neither of the two 1x1 convolutions.
    modules = [network.encoder if encodes else network.decoder, *(layer for layer in beside if layer is not None)]
    return modules, lambda: network.encode(pixels) if encodes else network.decode(latents)


def residual_shapes(batch: int, size: int, dtype: Dtype, networks: str = PLAIN.networks) -> dict[str, Any]:
    """What a ControlNet gives the UNet, without values."""
    *down, middle = (meta(batch, *shape, dtype=dtype) for shape in _residuals_of_one(size, networks))
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


@cache
def _residuals_of_one(size: int, networks: str) -> tuple[tuple[int, ...], ...]:
    """Shapes for one image, without the batch, the middle's last."""
    import torch

    controlnet, _ = denoiser("controlnet", "float16", Variant(networks=networks))
    of = dimensions(networks)
    latents, hint = (meta(1, channels, size // 8, size // 8) for channels in (of.latents, of.hint))
    prompts = meta(1, 77, of.prompt)
    with torch.no_grad():
        down, middle = controlnet(latents, meta(dtype="int64"), prompts, controlnet_cond=hint, return_dict=False)
    return tuple(tuple(residual.shape[1:]) for residual in (*down, middle))
