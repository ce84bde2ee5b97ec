r"""The face adapter of sdaug-nano: dlib's vector of a photo steers the UNet, in IP-Adapter-FaceID's layout. Resumable.

UNet and ControlNet stay as they are; what learns is the projection of the vector and the attention to it. The layout
has a LoRA part too: its tensors are there, and change nothing.

    python experiments/nano/train_face_id.py --faces FACES --pairs build/nano/train --vae build/nano/vae \
        --unet build/nano/unet --out build/nano/face_id
"""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from latents import read_latents
from networks import WIDTH, new_scheduler, new_vae
from safetensors.torch import save_file
from train_unet import Steps
from training import Training, trained

from sdaug.diffusion.face_id import attach
from sdaug.face.photo import read_photo
from sdaug.packs import load_pack

DIM = 128
"""Numbers in dlib's vector."""

HIDDEN, TOKENS, RANK = 2 * DIM, 4, 1

NOBODY = 0.1
"""Of the pictures, those shown with a vector of zeros: what guidance puts in place of the person."""

JITTER = 0.04
"""Standard deviation added to each number: 40 people are not to be learned by heart."""


def new_tensors(unet: Any, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """An adapter as training begins: random, with values of zero, so that it adds nothing yet."""

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) / shape[-1] ** 0.5

    tensors = {
        "image_proj.proj.0.weight": random(HIDDEN, DIM),
        "image_proj.proj.0.bias": torch.zeros(HIDDEN),
        "image_proj.proj.2.weight": random(TOKENS * WIDTH, HIDDEN),
        "image_proj.proj.2.bias": torch.zeros(TOKENS * WIDTH),
        "image_proj.norm.weight": torch.ones(WIDTH),
        "image_proj.norm.bias": torch.zeros(WIDTH),
    }
    for i, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        if name.endswith("attn2.processor"):
            inner = attention.to_k.out_features
            tensors[f"ip_adapter.{i}.to_k_ip.weight"] = random(inner, WIDTH)
            tensors[f"ip_adapter.{i}.to_v_ip.weight"] = torch.zeros(inner, WIDTH)
        for part, layer in (("to_q", "to_q"), ("to_k", "to_k"), ("to_v", "to_v"), ("to_out", "to_out.0")):
            outputs, inputs = attention.get_submodule(layer).weight.shape
            tensors[f"ip_adapter.{i}.{part}_lora.down.weight"] = torch.zeros(RANK, inputs)
            tensors[f"ip_adapter.{i}.{part}_lora.up.weight"] = torch.zeros(outputs, RANK)
    return tensors


def write_tensors(unet: Any, weights: dict[str, torch.Tensor], path: Path) -> None:
    """weights: of a `Learned`, by their names there. float16."""
    tensors = new_tensors(unet, torch.Generator().manual_seed(0))
    for name, value in weights.items():
        part, rest = name.split(".", 1)
        if part == "projection":
            rest = rest.split("image_projection_layers.0.")[1]
            rest = rest.replace("ff.net.0.proj", "proj.0").replace("ff.net.2", "proj.2")
            tensors[f"image_proj.{rest}"] = value
        else:
            tensors[f"ip_adapter.{rest.replace('_ip.0', '_ip')}"] = value
    save_file({name: value.half().contiguous() for name, value in tensors.items()}, path)


class Learned(torch.nn.Module):
    """The parts of a UNet with an adapter that learn: `projection`, and `attention` by the processor's number."""

    def __init__(self, unet: Any):
        super().__init__()
        self.projection = unet.encoder_hid_proj
        processors = enumerate(unet.attn_processors.items())
        chosen = {str(i): processor for i, (name, processor) in processors if name.endswith("attn2.processor")}
        self.attention = torch.nn.ModuleDict(chosen)
        self.requires_grad_(True)


def vectors(faces: Path, names: list[str]) -> torch.Tensor:
    """(N, 128) float32 of unit length: of the photo that each pair, by its file's name, was made from."""
    pack = load_pack("embedded")
    known: dict[str, np.ndarray] = {}
    for photo in sorted({name.rsplit("_", 1)[0] for name in names}):
        pixels = read_photo(faces / "london" / f"{photo.removesuffix('_mirrored')}.jpg").pixels
        if photo.endswith("_mirrored"):
            pixels = np.ascontiguousarray(cv2.flip(pixels, 1))
        face = pack.largest(pixels)
        assert face is not None, photo
        vector = pack.recognisers[0].embed(pixels, face)
        known[photo] = vector / np.linalg.norm(vector)
    return torch.from_numpy(np.stack([known[name.rsplit("_", 1)[0]] for name in names])).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder that holds london/")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--unet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=32, help="of a crop, in latents")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    data = read_latents(asked.pairs, trained(new_vae(), asked.vae, "vae"))
    loss = Steps(data, asked.unet, asked.batch, asked.side, asked.unet)
    for network in (loss.unet, loss.controlnet):
        network.requires_grad_(False)
    tensors = new_tensors(loss.unet, torch.Generator().manual_seed(asked.seed))
    pipe = importlib.import_module("diffusers").StableDiffusionPipeline(
        trained(new_vae(), asked.vae, "vae"), None, None, loss.unet, new_scheduler(), None, None,
        requires_safety_checker=False,
    )  # fmt: skip
    attach(pipe, tensors, 1.0)
    of_pair = vectors(asked.faces, [path.stem for path in sorted(asked.pairs.glob("*.npz"))])

    def identity(chosen: list[int], generator: torch.Generator) -> dict[str, Any]:
        faces = of_pair[chosen] + JITTER * torch.randn((len(chosen), DIM), generator=generator)
        faces = faces / faces.norm(dim=1, keepdim=True)
        faces = faces * (torch.rand((len(chosen), 1), generator=generator) >= NOBODY)
        return {"image_embeds": [faces[:, None, None]]}

    loss.identity = identity
    training = Training({"face_id": Learned(loss.unet)}, asked.out, asked.steps, learning_rate=1e-3)
    training.run(loss, asked.seed)
    write_tensors(loss.unet, training.average["face_id"], asked.out / "face_id.safetensors")
    print(json.dumps({"file": str(asked.out / "face_id.safetensors"), "steps": training.step}))


if __name__ == "__main__":
    main()
