"""IP-Adapter-FaceID (Ye et al. 2023, arXiv:2308.06721): the layout of its file, its place in a UNet, its embedding.

The face embedding is ArcFace's of unit length: "normalized embedding is required", the authors' wiki page
IP-Adapter-Face says, and their model card (h94/IP-Adapter-FaceID) passes insightface's `normed_embedding` of buffalo_l.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.diffusion.adapter_files import check_shapes
from sdaug.diffusion.components import WeightsInvalid
from sdaug.diffusion.lora import LowRank

_LAYERS = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out": "to_out.0"}
"""An attention's layers: their names in the file, and in the UNet."""


def check_layout(path: Path, tensors: dict[str, Any], unet: Any) -> int:
    """The length of the face embedding that these tensors take. `WeightsInvalid` unless they fit `unet` exactly.

    Everything is checked here because diffusers is silent where it matters: a missing LoRA part is left out, a missing
    tensor stays unset.
    """
    if any(name.startswith("image_proj.perceiver_resampler") for name in tensors):
        raise WeightsInvalid(
            f"{path} is a FaceID-Plus adapter, which wants CLIP's image embedding too; FaceID expected"
        )
    sizes = {}
    for name in ("image_proj.proj.0.weight", "image_proj.proj.2.weight", "ip_adapter.0.to_q_lora.down.weight"):
        if name not in tensors or tensors[name].ndim != 2:
            raise WeightsInvalid(f"{path} is no IP-Adapter-FaceID: it has no matrix {name}")
        sizes[name] = tuple(tensors[name].shape)
    (hidden, dim), (projected, _), (rank, _) = sizes.values()
    width = unet.config.cross_attention_dim
    hidden = max(hidden // dim, 1) * dim  # diffusers reads it as a whole multiple
    expected = {
        "image_proj.proj.0.weight": (hidden, dim),
        "image_proj.proj.0.bias": (hidden,),
        "image_proj.proj.2.weight": (max(projected // width, 1) * width, hidden),
        "image_proj.proj.2.bias": (max(projected // width, 1) * width,),
        "image_proj.norm.weight": (width,),
        "image_proj.norm.bias": (width,),
    }
    for i, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        if name.endswith("attn2.processor"):
            for part in ("to_k_ip", "to_v_ip"):
                expected[f"ip_adapter.{i}.{part}.weight"] = (attention.to_k.out_features, width)
        for part, layer in _LAYERS.items():
            outputs, inputs = attention.get_submodule(layer).weight.shape
            expected[f"ip_adapter.{i}.{part}_lora.down.weight"] = (rank, inputs)
            expected[f"ip_adapter.{i}.{part}_lora.up.weight"] = (outputs, rank)
    check_shapes(path, tensors, expected)
    return dim


def lora_part(tensors: dict[str, Any], unet: Any) -> list[LowRank]:
    """The changes to the UNet's own attention layers that come in the same file."""
    changes = []
    for i, name in enumerate(unet.attn_processors):
        for part, layer in _LAYERS.items():
            down, up = (tensors[f"ip_adapter.{i}.{part}_lora.{half}.weight"] for half in ("down", "up"))
            changes.append(LowRank(f"{name.removesuffix('.processor')}.{layer}", down, up))
    return changes


def attach(pipe: Any, tensors: dict[str, Any], scale: float) -> None:
    """Put projection and face attention into `pipe.unet` by diffusers' loader, without the LoRA part."""
    nested: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in tensors.items():
        part, rest = name.split(".", 1)
        if "_lora." not in rest:
            nested[part][rest] = tensor
    with _quiet("diffusers.loaders.ip_adapter", "diffusers.models.modeling_utils"):
        pipe.load_ip_adapter(nested, subfolder="", weight_name="", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(scale)


def check_embedding(embedding: np.ndarray, dim: int, adapter: str) -> None:
    """`ValueError` unless `embedding` is (dim,), finite and of unit length."""
    if embedding.shape != (dim,):
        raise ValueError(
            f"a face embedding of shape {embedding.shape} cannot steer the FaceID adapter {adapter}, which takes "
            f"({dim},) as ArcFace makes it; the recogniser of the pack 'embedded' (dlib) makes (128,), that of "
            f"'buffalo_l' (512,)"
        )
    length = float(np.linalg.norm(embedding.astype(np.float64)))
    if not abs(length - 1) < 1e-3:
        raise ValueError(f"the face embedding has length {length:g}; FaceID wants it normalised to 1")


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Without what diffusers warns of here: that no image encoder was given, and that no layer stays in float32."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
