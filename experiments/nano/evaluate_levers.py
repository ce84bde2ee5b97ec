"""What a lever does to people never trained on: steps, bfloat16, strength and hole strength, one at a time.

Every picture is a photo with an exactly known hole (prepare.py, --people held_out), so error, seam and likeness all
have their truth.

    python experiments/nano/evaluate_levers.py --pairs build/nano/held_out --pack PACK --out build/nano/levers
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from evaluate_holes import STEPS, errors, generated, hole
from prepare import Pair, read_pair

from sdaug.config import NANO, GenerationSettings, ModelSettings
from sdaug.diffusion.generator import DiffusionGenerator
from sdaug.diffusion.load import load_generator
from sdaug.packs import FacePack, load_pack
from sdaug.recipes import RECIPES

SEAM = 6
"""Half the width, in pixels, of the band about a hole's edge in which the seam is judged."""


@dataclass(frozen=True)
class Point:
    """One setting. lever: which of them is moved here."""

    lever: str
    value: float | str
    generation: GenerationSettings
    levers: dict[str, dict[str, Any]] = field(default_factory=dict)


def points() -> Iterator[Point]:
    """Four steps at the model's own strengths, and from there one lever at a time."""
    base = GenerationSettings(**RECIPES["small"]["generation"])
    for steps in STEPS:
        yield Point("num_inference_steps", steps, base.model_copy(update={"num_inference_steps": steps}))
    yield Point("dtype", "bfloat16", base, {"precision": {"dtype": "bfloat16"}})
    for strength in (0.2, 0.45, 0.7, 0.9):
        yield Point("strength", strength, base.model_copy(update={"strength": strength}))
    for strength in (0.3, 0.5, 0.7, 0.9):
        yield Point("hole_strength", strength, base.model_copy(update={"hole_strength": strength}))


def seam(image: np.ndarray, pair: Pair) -> float:
    """Mean difference, 0..1, of slopes from the truth's in a band about the hole's edge: what a visible seam adds."""
    mask = hole(pair).astype(np.uint8)
    kernel = np.ones((2 * SEAM + 1,) * 2, np.uint8)
    band = (cv2.dilate(mask, kernel) > 0) & (cv2.erode(mask, kernel) == 0) & (pair.known > 0.75)
    difference = image.astype(np.float32) - pair.truth
    slopes = [np.abs(np.diff(difference, axis=axis, append=0)).mean(2) for axis in (0, 1)]
    return float((slopes[0] + slopes[1])[band].mean() / 255)


def likeness(images: list[np.ndarray], pairs: list[Pair], pack: FacePack) -> dict[str, float]:
    """Mean similarity to the truth by recogniser over the pictures in which a face is found, and how many those are."""
    found: dict[str, list[float]] = {}
    for image, pair in zip(images, pairs, strict=True):
        faces = [pack.largest(pixels) for pixels in (image, pair.truth)]
        for recogniser in pack.recognisers:
            if all(face is not None for face in faces):
                a, b = (recogniser.embed(p, f) for p, f in zip((image, pair.truth), faces, strict=True))
                found.setdefault(recogniser.name, []).append(recogniser.similarity(a, b))
    return {name: float(np.mean(values)) for name, values in found.items()} | {
        "faces_found": float(len(next(iter(found.values()), [])))
    }


def measured(point: Point, generator: DiffusionGenerator, pairs: list[Pair], pack: FacePack) -> dict[str, Any]:
    """One row: hole error, seam and likeness of the finished pictures, likeness of the raw ones, seconds an image."""
    started = time.perf_counter()
    made = list(generated(generator, pairs, point.generation))
    seconds = (time.perf_counter() - started) / len(pairs)
    images, plain = [one.image for one in made], [one.diffused for one in made]
    rows = [errors(image, pair) | {"seam": seam(image, pair)} for image, pair in zip(images, pairs, strict=True)]
    return {
        "lever": point.lever,
        "value": point.value,
        "hole": {name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
        "raw_seam": float(np.mean([seam(image, pair) for image, pair in zip(plain, pairs, strict=True)])),
        "similarity": likeness(images, pairs, pack),
        "raw_similarity": likeness(plain, pairs, pack),
        "seconds_an_image": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--pack", default="embedded")
    parser.add_argument("--model", default=NANO, help="a name or a model folder")
    parser.add_argument("--every", type=int, default=6, help="only each so-manieth pair")
    parser.add_argument("--only", nargs="*", help="levers to move; all by default")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    names = sorted(path.with_suffix("") for path in asked.pairs.glob("*.npz"))[:: asked.every]
    pairs, pack = [read_pair(name) for name in names], load_pack(asked.pack)
    model = ModelSettings(model_id=asked.model, device="cpu")
    rows, facts = [], {}
    generator, loaded = load_generator(model, {}), {}
    for point in points():
        if asked.only and point.lever not in asked.only:
            continue
        if point.levers != loaded:
            generator, loaded = load_generator(model, point.levers), point.levers
        facts = generator.facts["sha256"]
        rows.append(measured(point, generator, pairs, pack))
        print(json.dumps(rows[-1]), flush=True)
    report = {"pairs": len(pairs), "pack": asked.pack.rstrip("/").rsplit("/", 1)[-1], "model": facts, "rows": rows}
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "levers.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
