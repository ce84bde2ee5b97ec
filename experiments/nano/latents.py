"""The pairs of prepare.py as latents, encoded once and kept beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from networks import UNSCALED
from training import reduced


@dataclass(frozen=True)
class Latents:
    """truth, source: (N, 16, 64, 64) float16, scaled to unit variance. known, stays: (N, 1, 64, 64) float16 0..1.
    controls: N PNG files in memory. scaling_factor: what brought the VAE's latents to unit variance."""

    truth: torch.Tensor
    source: torch.Tensor
    known: torch.Tensor
    stays: torch.Tensor
    controls: list[bytes]
    scaling_factor: float

    def __len__(self) -> int:
        return len(self.truth)

    def control(self, index: int) -> torch.Tensor:
        """(3, 512, 512) float32 0..1, RGB."""
        image = cv2.imdecode(np.frombuffer(self.controls[index], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)


def read_latents(pairs: Path, vae: Any) -> Latents:
    """Of the pairs in a folder, encoded by `vae` where that has not been done before."""
    note = pairs / "latents.pt"
    names = sorted(path.with_suffix("") for path in pairs.glob("*.npz"))
    state: dict[str, Any] = torch.load(note, weights_only=True) if note.exists() else {}
    if len(state.get("truth", ())) != len(names):
        state = {part: _encoded(vae, names, part) for part in ("truth", "source")}
        factor = vae.config.scaling_factor
        if factor == UNSCALED:
            factor = 1 / float(state["truth"].float().std())
        state = {part: (value * factor).half() for part, value in state.items()} | {"scaling_factor": factor}
        torch.save(state, note)
    maps = [np.load(f"{name}.npz") for name in names]
    known, stays = (torch.from_numpy(np.stack([m[part] for m in maps]))[:, None] for part in ("known", "stays"))
    controls = [Path(f"{name}_control.png").read_bytes() for name in names]
    return Latents(state["truth"], state["source"], known, stays, controls, state["scaling_factor"])


def _encoded(vae: Any, names: list[Path], part: str, batch: int = 4) -> torch.Tensor:
    made = []
    for i in range(0, len(names), batch):
        images = np.stack([cv2.imread(f"{name}_{part}.png")[..., ::-1] for name in names[i : i + batch]])
        pixels = torch.from_numpy(images.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
        with torch.inference_mode(), reduced():
            made.append(vae.encode(pixels).latent_dist.mean.float())
        if i % 100 == 0:
            print(f"{part}: {i} of {len(names)} encoded", flush=True)
    return torch.cat(made)
