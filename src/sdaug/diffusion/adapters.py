"""A face adapter and a few-step LoRA put into a UNet before anything else is done to it.

Both LoRAs, the few-step one and the one inside the FaceID file, are fused, which leaves plain layers for every lever.
ControlNet gets none of it, and must not be given the face embedding.

Arc2Face needs no adapter: its UNet is Stable Diffusion 1.5's (a model folder, or a UNet beside SD1.5's other networks).
But its face embedding, ArcFace's of antelopev2 padded with zeros to 768, takes the place of one word of the prompt
"photo of a id person" inside a text encoder of its own, which is not built here.
"""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.config import PINNED_REVISIONS, FaceIdSettings, LoraSettings, ModelSettings
from sdaug.diffusion.adapter_files import find_file, read_tensors
from sdaug.diffusion.components import Components
from sdaug.diffusion.face_id import attach, check_embedding, check_layout, lora_part
from sdaug.diffusion.loop import Identity
from sdaug.diffusion.lora import FEW_STEP, fuse, read_layers
from sdaug.measure.remembered import remembered_sha256


@dataclass(frozen=True, eq=False)
class Adapters:
    """What was put into the UNet. facts: by adapter, JSON-able, for the record.

    call: GenerationSettings fields that a few-step LoRA holds. embedding_dim: the length of the face embedding that the
    UNet now wants at every call, None where it wants none.
    """

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    embedding_dim: int | None = None

    def identity(self, embedding: np.ndarray, dtype: Any, device: Any) -> Identity:
        """What makes the UNet's `added_cond_kwargs` for one person: `identity(batch, guided)`.

        embedding: (D,) float32 of unit length, D as `embedding_dim`. Guided, the batch is [negative, positive] and the
        negative half gets zeros, as the authors' pipeline does; not guided, there is the positive half only.
        Raises `ValueError` for an embedding of another kind, or where no face adapter is loaded.
        """
        import torch

        if self.embedding_dim is None:
            raise ValueError("no face adapter is loaded, a face embedding would count for nothing; set `model.face_id`")
        check_embedding(embedding, self.embedding_dim, self.facts["face_id"]["file"])
        face = torch.as_tensor(embedding, dtype=torch.float32).to(device, dtype)[None, None, None]
        guided_pair = torch.cat([torch.zeros_like(face), face])

        def kwargs(batch: int, guided: bool) -> dict[str, Any]:
            embeds = guided_pair.repeat_interleave(batch, dim=0) if guided else face.expand(batch, -1, -1, -1)
            return {"image_embeds": [embeds]}

        return kwargs


def find_adapters(model: ModelSettings) -> dict[str, Path]:
    """The adapter files that `load_adapters` would read, by name. Raises `WeightsMissing`.

    >>> find_adapters(ModelSettings(model_id="random"))
    {}
    """
    files = {}
    if model.face_id:
        files["face_id"] = find_file(*_face_id_source(model.face_id))
    if model.lora:
        files["lora"] = find_file(*_lora_source(model.lora))
    return files


def load_adapters(parts: Components, model: ModelSettings) -> Adapters:
    """What `model` asks for, put into `parts.unet` in place, on the CPU and in the number format that it has.

    Raises `WeightsMissing` or `WeightsInvalid`, both before the UNet is touched.
    """
    files = find_adapters(model)
    facts: dict[str, dict[str, Any]] = {}
    call: dict[str, Any] = {}
    dim, face, changes = None, {}, []
    if model.face_id:
        path, asked = files["face_id"], model.face_id
        face = read_tensors(path, allow_pickle=asked.allow_pickle)
        dim = check_layout(path, face, parts.unet)
        changes.append((lora_part(face, parts.unet), asked.lora_scale))
        facts["face_id"] = _facts(path, _face_id_source(asked), scale=asked.scale, lora_scale=asked.lora_scale)
        facts["face_id"]["embedding_dim"] = dim
    if model.lora:
        path, asked, kind = files["lora"], model.lora, FEW_STEP[model.lora.kind]
        changes.append((read_layers(path, read_tensors(path), parts.unet), asked.scale))
        wanted = {"scheduler": kind.scheduler, "guidance_scale": kind.guidance_scale}
        facts["lora"] = _facts(path, _lora_source(asked), kind=asked.kind, scale=asked.scale)
        facts["lora"] |= wanted | {"num_inference_steps": kind.num_inference_steps}
        call = wanted if kind.guidance_scale <= 1 else {"scheduler": kind.scheduler}
    for layers, scale in changes:
        fuse(parts.unet, layers, scale)
    if model.face_id:
        attach(_pipe(parts), face, model.face_id.scale)
    return Adapters(facts, call, dim)


def _pipe(parts: Components) -> Any:
    """A stock pipeline around the networks, for diffusers' loaders, which only pipelines have."""
    diffusers: Any = importlib.import_module("diffusers")  # its lazy names say nothing to a type checker
    return diffusers.StableDiffusionControlNetImg2ImgPipeline(
        vae=parts.vae,
        text_encoder=None,
        tokenizer=None,
        unet=parts.unet,
        controlnet=parts.controlnet,
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _face_id_source(asked: FaceIdSettings) -> tuple[str, str, str | None]:
    return asked.adapter_id, asked.weight_name, asked.revision or PINNED_REVISIONS.get(asked.adapter_id)


def _lora_source(asked: LoraSettings) -> tuple[str, str, str | None]:
    kind = FEW_STEP[asked.kind]
    name = asked.lora_id or kind.lora_id
    return name, asked.weight_name or kind.weight_name, asked.revision or PINNED_REVISIONS.get(name)


def _facts(path: Path, source: tuple[str, str, str | None], **scales: Any) -> dict[str, Any]:
    name, _, revision = source
    facts = {"id": name, "revision": revision, "file": path.name, "sha256": remembered_sha256(path), "fused": True}
    return facts | scales
