r"""The trained networks as a model folder in diffusers' layout, in float16, with the digests that are checked at load.

    python experiments/nano/package.py --vae build/nano/vae --unet build/nano/unet --pairs build/nano/train \
        --tiny-vae build/nano/tiny_vae --out src/sdaug/models/sdaug-nano
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from networks import new_controlnet, new_scheduler, new_tiny_vae, new_unet, new_vae
from text import write_text
from training import trained

from sdaug.measure.digest import file_sha256

INDEX = {
    "_class_name": "StableDiffusionControlNetImg2ImgPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "controlnet": ["diffusers", "ControlNetModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "feature_extractor": [None, None],
    "safety_checker": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
}
"""Read by diffusers' own `from_pretrained` too."""

FACE_ID = "face_id.safetensors"

MOST_BYTES = 12_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--unet", type=Path, required=True)
    parser.add_argument("--tiny-vae", type=Path)
    parser.add_argument("--face-id", type=Path, help="what train_face_id.py wrote")
    parser.add_argument("--pairs", type=Path, required=True, help="whose latents.pt says how the VAE's are scaled")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    networks = {
        "vae": trained(new_vae(), asked.vae, "vae"),
        "unet": trained(new_unet(), asked.unet, "unet"),
        "controlnet": trained(new_controlnet(), asked.unet, "controlnet"),
    }
    if asked.tiny_vae:
        networks["tiny_vae"] = trained(new_tiny_vae(), asked.tiny_vae, "tiny_vae")
    factor = torch.load(asked.pairs / "latents.pt", weights_only=True)["scaling_factor"]
    for name, network in networks.items():
        if name == "vae":
            network.register_to_config(scaling_factor=factor)
        network.half().save_pretrained(asked.out / name)
    new_scheduler().save_pretrained(asked.out / "scheduler")
    write_text(asked.out)
    if asked.face_id:
        shutil.copyfile(asked.face_id / FACE_ID, asked.out / FACE_ID)
    (asked.out / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n")
    write_sums(asked.out)
    size = sum(path.stat().st_size for path in asked.out.rglob("*.safetensors"))
    print(f"{size / 1e6:.2f} MB of weights in {asked.out}")
    if size > MOST_BYTES:
        raise SystemExit(f"{size} bytes are too many; at most {MOST_BYTES}")


def write_sums(folder: Path) -> None:
    """SHA256SUMS of every file in `folder` but itself and the model card."""
    apart = {folder / "SHA256SUMS", folder / "README.md"}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in apart)
    lines = [f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
