"""The product with sdaug-nano on people never trained on, and against the exactly known views of a 3-D head.

python experiments/nano/evaluate_people.py --faces FACES --pack PACK --out build/nano/people
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from prepare import PEOPLE

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import NANO, GenerationSettings, ModelSettings, RunSettings
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.strength import kept
from sdaug.evaluation.truth.head3d import read_views
from sdaug.evaluation.truth.report import FRONTAL, see, similarities
from sdaug.face.photo import read_photo
from sdaug.packs import load_pack
from sdaug.recipes import RECIPES
from sdaug.synthesis.control import control_image
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import Augmentation, View

WANTED = 4
"""Of the first five angles, how many a person should get from diffusion."""


@dataclass(frozen=True)
class Person:
    """One photo, turned with diffusion and without."""

    name: str
    diffusion: Augmentation
    warp: Augmentation

    @property
    def diffused(self) -> int:
        return sum(angle.rung == "diffusion" and angle.accepted for angle in self.diffusion.angles)


def people(folder: Path, pack: str, model: str, generation: GenerationSettings) -> list[Person]:
    """The held-out ones' neutral photos."""
    settings = RunSettings(pack=pack, model=ModelSettings(model_id=model, device="cpu"), generation=generation)
    diffusion = GenerativeAugmentor(settings=settings)
    warp = GenerativeAugmentor(settings=settings.model_copy(update={"backend": "warp"}))
    found = []
    for name in json.loads(PEOPLE.read_text())["held_out"]:
        photo = read_photo(folder / f"{name}_neutral.jpg")
        found.append(Person(name, diffusion.augment(photo), warp.augment(photo)))
        print(name, found[-1].diffused, f"{found[-1].diffusion.timings['total_s']:.1f} s", flush=True)
    return found


def summary(found: list[Person]) -> dict[str, Any]:
    """Rungs, similarity to the input beside the warp's, seconds."""
    names = found[0].diffusion.angles[0].judgement.similarity
    pairs = [
        (made.judgement.similarity, turned.judgement.similarity)
        for person in found
        for made, turned in zip(person.diffusion.angles, person.warp.angles, strict=True)
    ]
    totals = [person.diffusion.timings["total_s"] - person.diffusion.timings["load_s"] for person in found]
    return {
        "people": len(found),
        f"share_with_{WANTED}_from_diffusion": float(np.mean([person.diffused >= WANTED for person in found])),
        "diffused": {person.name: person.diffused for person in found},
        "similarity_to_input": {
            name: {
                "diffusion": float(np.mean([a[name] for a, _ in pairs if name in a])),
                "warp": float(np.mean([b[name] for _, b in pairs if name in b])),
            }
            for name in names
        },
        "seconds": {"p50": float(np.median(totals)), "most": max(totals)},
        "load_s": max(person.diffusion.timings["load_s"] for person in found),
    }


def hole_share(views: list[View]) -> float:
    """Of the pixels that the photo does not show, how much comes from diffusion."""
    return float(np.mean(np.concatenate([(1 - kept(view.valid))[view.hole] for view in views])))


def truth(folder: Path, pack_name: str, generator: DiffusionGenerator, settings: GenerationSettings) -> dict[str, Any]:
    """How much more alike to the true views of a 3-D head diffusion's are than the warp's, by recogniser."""
    pack = load_pack(pack_name)
    photos = read_views(folder)
    frontal = photos[FRONTAL]
    face = pack.largest(frontal.pixels)
    assert face is not None
    stage = set_stage(frontal, face, pack.mesh)
    gaps: dict[str, list[float]] = {}
    views = []
    for i, (pose, photo) in enumerate(photos.items()):
        if pose == FRONTAL:
            continue
        view = turn(stage, pose)
        views.append(view)
        drawn = control_image(view.landmarks, len(view.image), "mediapipe_face")
        (made,) = generator.generate([Job(i, view, drawn)], settings)
        true = see(photo.pixels, pack)
        by_diffusion, by_warp = (similarities(see(image, pack), true, pack) for image in (made.image, view.image))
        for name, value in by_diffusion.items():
            gaps.setdefault(name, []).append(value - by_warp[name])
    return {
        "views": len(views),
        "hole_pixels_from_diffusion": hole_share(views),
        "diffusion_minus_warp_to_true": {name: interval(np.array(values)) for name, values in gaps.items()},
    }


def interval(values: np.ndarray) -> dict[str, Any]:
    """Mean and 95 % bootstrap interval."""
    means = values[np.random.default_rng(0).integers(len(values), size=(4000, len(values)))].mean(1)
    return {"mean": float(values.mean()), "ci95": np.percentile(means, [2.5, 97.5]).tolist()}


def sheet(found: list[Person]) -> np.ndarray:
    """Every fourth person: the warp's angles over diffusion's, half size."""
    rows = []
    for person in found[::4]:
        for record in (person.warp, person.diffusion):
            blank = np.full((512, 512, 3), 127, np.uint8)
            rows.append(np.hstack([blank if a.image is None else a.image for a in record.angles]))
    return cv2.resize(np.vstack(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder that holds london/ and head3d/")
    parser.add_argument("--pack", default="embedded")
    parser.add_argument("--model", default=NANO, help="a name or a model folder")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    generation = GenerationSettings(**RECIPES["small"]["generation"] | {"num_inference_steps": asked.steps})
    found = people(asked.faces / "london", asked.pack, asked.model, generation)
    generator = load_generator(ModelSettings(model_id=asked.model, device="cpu"), {})
    report = summary(found) | {
        "settings": generation.model_dump(),
        "pack": found[0].diffusion.pack["name"],
        "model": generator.facts["sha256"],
        "truth": truth(asked.faces / "head3d", asked.pack, generator, generation),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "people.json").write_text(json.dumps(report, indent=1) + "\n")
    cv2.imwrite(str(asked.out / "people.jpg"), sheet(found)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
