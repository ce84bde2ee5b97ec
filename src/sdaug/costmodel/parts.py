"""What one run of each part of the full-size pipeline costs, counted on the meta device in under a second each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from sdaug.costmodel.architecture import Part, build
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
def count_part(name: PartName, batch: int = 1, size: int = 512, dtype: Dtype = "float16") -> PartCost:
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
    modules, run = _part(name, batch, size, dtype)
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


def split_controlnet(controlnet: Any) -> Any:
    """The network that makes hints, taken out of a ControlNet, which from then on is called with ready hints."""
    import torch

    hint = controlnet.controlnet_cond_embedding
    controlnet.controlnet_cond_embedding = torch.nn.Identity()
    return hint


@cache
def _networks(part: Part, dtype: Dtype) -> tuple[Any, ...]:
    import torch

    network = build(part, dtype=getattr(torch, dtype))
    return (network, split_controlnet(network)) if part == "controlnet" else (network,)


def _part(name: PartName, batch: int, size: int, dtype: Dtype) -> tuple[list[Any], Callable[[], Any]]:
    """The modules whose parameters belong to a part, and a call of it with its inputs ready."""
    pixels = meta(batch, 3, size, size, dtype=dtype)
    latents = meta(batch, 4, size // 8, size // 8, dtype=dtype)
    timestep, prompts = meta(dtype="int64"), meta(batch, 77, 768, dtype=dtype)
    if name in ("unet", "unet_residuals"):
        (unet,) = _networks("unet", dtype)
        residuals = residual_shapes(batch, size, dtype) if name == "unet_residuals" else {}
        return [unet], lambda: unet(latents, timestep, encoder_hidden_states=prompts, **residuals)
    if name in ("controlnet", "hint"):
        controlnet, hint = _networks("controlnet", dtype)
        ready = meta(batch, 320, size // 8, size // 8, dtype=dtype)
        if name == "hint":
            return [hint], lambda: hint(pixels)
        return [controlnet], lambda: controlnet(latents, timestep, prompts, controlnet_cond=ready)
    if name == "vae_encode":
        (vae,) = _networks("vae", dtype)
        return [vae.encoder, vae.quant_conv], lambda: vae.encode(pixels)
    if name == "vae_decode":
        (vae,) = _networks("vae", dtype)
        return [vae.decoder, vae.post_quant_conv], lambda: vae.decode(latents)
    if name in ("tiny_encode", "tiny_decode"):
        (tiny,) = _networks("tiny_vae", dtype)
        if name == "tiny_encode":
            return [tiny.encoder], lambda: tiny.encode(pixels)
        return [tiny.decoder], lambda: tiny.decode(latents)
    (text_encoder,) = _networks("text_encoder", dtype)
    tokens = meta(batch, 77, dtype="int64")
    return [text_encoder], lambda: text_encoder(tokens)


def residual_shapes(batch: int, size: int, dtype: Dtype) -> dict[str, Any]:
    """What a ControlNet gives the UNet, without values."""
    import torch

    controlnet, _ = _networks("controlnet", dtype)
    latents = meta(batch, 4, size // 8, size // 8, dtype=dtype)
    hint = meta(batch, 320, size // 8, size // 8, dtype=dtype)
    prompts = meta(batch, 77, 768, dtype=dtype)
    with torch.no_grad():
        down, middle = controlnet(latents, meta(dtype="int64"), prompts, controlnet_cond=hint, return_dict=False)
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
