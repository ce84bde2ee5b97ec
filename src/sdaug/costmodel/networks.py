"""The networks that are counted: built once on the meta device, with what levers do to them."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sdaug.costmodel.architecture import SD15, build

Storage = Literal["plain", "fp8", "int8"]


@dataclass(frozen=True)
class Variant:
    """How the networks differ from plain ones.

    attention_slice: heads computed at once, as diffusers' `set_attention_slice` takes it; None is torch's fused
    attention. storage: what the weights of UNet and ControlNet are kept in. vae_tile: side of the VAE's tiles in
    pixels. networks: `architecture.described` of the model, SD1.5 where it is empty.
    """

    attention_slice: Literal["auto", "max"] | int | None = None
    storage: Storage = "plain"
    vae_tile: int | None = None
    networks: str = SD15

    def __post_init__(self) -> None:
        if self.vae_tile is not None and (self.vae_tile < 64 or self.vae_tile % 8):
            raise ValueError(f"vae_tile {self.vae_tile}; a multiple of 8, 64 or more, expected")

    @property
    def of_denoisers(self) -> "Variant":
        """The same as far as UNet and ControlNet go."""
        return Variant(self.attention_slice, self.storage, None, self.networks)


PLAIN = Variant()


@cache
def denoiser(part: Literal["unet", "controlnet"], dtype: str, variant: Variant = PLAIN) -> tuple[Any, ...]:
    """The UNet, or ControlNet and the network that makes its hints."""
    import torch

    compute = getattr(torch, dtype)
    network = build(part, dtype=compute, networks=variant.networks)
    parts = (network, split_controlnet(network)) if part == "controlnet" else (network,)
    if variant.storage == "fp8":
        network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=compute)
    elif variant.storage == "int8":
        _keep_linear_in_int8(network)
    if variant.attention_slice is not None:
        network.set_attention_slice(variant.attention_slice)
    return parts


@cache
def vae(kind: str, dtype: str, slicing: bool = False, tile: int | None = None, networks: str = SD15) -> Any:
    """The "standard" VAE or the "tiny" one."""
    import torch

    made = build("vae" if kind == "standard" else "tiny_vae", dtype=getattr(torch, dtype), networks=networks)
    made.use_slicing = slicing
    if tile is not None:
        made.use_tiling = True
        made.tile_sample_min_size, made.tile_latent_min_size = tile, tile // 8
    return made


@cache
def text_encoder(dtype: str, networks: str = SD15) -> Any:
    """CLIP's text model."""
    import torch

    return build("text_encoder", dtype=getattr(torch, dtype), networks=networks)


def split_controlnet(controlnet: Any) -> Any:
    """The network that makes hints, taken out of a ControlNet, which from then on is called with ready hints."""
    import torch

    hint = controlnet.controlnet_cond_embedding
    controlnet.controlnet_cond_embedding = torch.nn.Identity()
    return hint


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
