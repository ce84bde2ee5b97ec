"""How well holes are filled, on people never trained on, where the truth is exactly known. Writes figures and a grid.

python experiments/nano/evaluate_holes.py --pairs build/nano/held_out --out build/nano/holes
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from prepare import Pair, read_pair
from skimage.metrics import structural_similarity

from sdaug.config import GenerationSettings, ModelSettings
from sdaug.diffusion.generator import DiffusionGenerator, Generated, Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.strength import kept
from sdaug.recipes import RECIPES
from sdaug.types import Pose, View

STEPS = (2, 4, 8, 16, 32)
"""Of the whole noise schedule; at the recipe's hole strength of 0.5 half of them are run."""

RADIUS = 5
"""Of OpenCV's inpainting, pixels."""

SHOWN = ("truth", "hole", "telea", "navier_stokes", "warp", "nano_4_steps")


def hole(pair: Pair) -> np.ndarray:
    """(512, 512) bool: what is to be filled, the margin at its edge included."""
    return kept(pair.valid) < 0.5


def classical(pair: Pair) -> dict[str, np.ndarray]:
    """OpenCV's two inpaintings of the hole, and the warp's own filling."""
    mask = hole(pair).astype(np.uint8)
    holed = np.where(mask[..., None] > 0, 0, pair.truth).astype(np.uint8)
    return {
        "hole": holed,
        "telea": cv2.inpaint(holed, mask, RADIUS, cv2.INPAINT_TELEA),
        "navier_stokes": cv2.inpaint(holed, mask, RADIUS, cv2.INPAINT_NS),
        "warp": pair.source,
    }


def generated(generator: DiffusionGenerator, pairs: list[Pair], settings: GenerationSettings) -> Iterator[Generated]:
    """What diffusion makes of each pair's source; `image` as `sdaug augment` has it, the photo's pixels put back."""
    for i, pair in enumerate(pairs):
        view = View(Pose(0, 0), pair.source, pair.valid, pair.valid < 0.25, pair.landmarks)
        (made,) = generator.generate([Job(i, view, pair.control)], settings)
        if made.image is None:
            raise RuntimeError(made.message)
        yield made


def errors(image: np.ndarray, pair: Pair) -> dict[str, float]:
    """Inside the hole, where the truth is known: mean absolute difference (0..1) and mean structural similarity."""
    where = hole(pair) & (pair.known > 0.75)
    difference = np.abs(image.astype(np.float32) - pair.truth)[where].mean() / 255
    _, similar = structural_similarity(image, pair.truth, channel_axis=2, full=True)
    return {"l1": float(difference), "ssim": float(similar.mean(2)[where].mean())}


def compared(a: list[dict[str, float]], b: list[dict[str, float]]) -> dict[str, Any]:
    """Mean of b - a over pairs with a 95 % bootstrap interval, for either measure."""
    report = {}
    generator = np.random.default_rng(0)
    for name in ("l1", "ssim"):
        gaps = np.array([y[name] - x[name] for x, y in zip(a, b, strict=True)])
        means = gaps[generator.integers(len(gaps), size=(4000, len(gaps)))].mean(1)
        report[name] = {"mean": float(gaps.mean()), "ci95": np.percentile(means, [2.5, 97.5]).tolist()}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", default="sdaug-nano", help="a name or a model folder")
    parser.add_argument("--steps", type=int, nargs="*", default=STEPS)
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth pair")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    names = sorted(path.with_suffix("") for path in asked.pairs.glob("*.npz"))[:: asked.every]
    pairs = [read_pair(name) for name in names]
    images: dict[str, list[np.ndarray]] = {"truth": [pair.truth for pair in pairs]}
    for pair in pairs:
        for name, image in classical(pair).items():
            images.setdefault(name, []).append(image)
    seconds = {}
    generator = load_generator(ModelSettings(model_id=asked.model, device="cpu"), {})
    for steps in asked.steps:
        started = time.perf_counter()
        settings = GenerationSettings(**RECIPES["small"]["generation"] | {"num_inference_steps": steps})
        images[f"nano_{steps}_steps"] = [made.image for made in generated(generator, pairs, settings)]
        seconds[f"nano_{steps}_steps"] = (time.perf_counter() - started) / len(pairs)
    scores = {
        name: [errors(image, pair) for image, pair in zip(made, pairs, strict=True)]
        for name, made in images.items()
        if name not in ("truth", "hole")
    }
    report = {
        "pairs": len(pairs),
        "people": len({name.name[:3] for name in names}),
        "model": generator.facts["sha256"],
        "mean": {
            name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} for name, rows in scores.items()
        },
        "seconds_an_image": seconds,
        "against": {
            name: {other: compared(scores[other], scores[name]) for other in ("telea", "navier_stokes", "warp")}
            for name in scores
            if name.startswith("nano")
        },
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "holes.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report["mean"], indent=1))
    columns = [name for name in SHOWN if name in images] or list(images)
    rows = [np.hstack([images[name][i] for name in columns]) for i in range(0, len(pairs), max(1, len(pairs) // 6))]
    grid = cv2.resize(np.vstack(rows[:6]), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(asked.out / "holes.jpg"), grid[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
