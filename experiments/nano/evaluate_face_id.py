"""What the face adapter changes, on people never trained on: their own vector, another person's, no adapter.

python experiments/nano/evaluate_face_id.py --faces FACES --pack PACK --adapter build/nano/face_id/face_id.safetensors \
    --out build/nano/face_id_report
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from evaluate_people import interval
from prepare import PEOPLE

from sdaug.config import NANO, FaceIdSettings, GenerationSettings, ModelSettings
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.diffusion.load import load_generator
from sdaug.face.photo import read_photo
from sdaug.packs import FacePack, load_pack
from sdaug.recipes import RECIPES
from sdaug.recognition.dlib_resnet import DlibResnet
from sdaug.synthesis.control import control_image
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES

STRENGTHS = (0.2, 0.9)
"""Of what the photo shows: the recipe's, and one that leaves hardly any of the face."""

WAYS = ("without", "own", "other")


@dataclass(frozen=True)
class Person:
    """vector: dlib's of the photo, of unit length. known: the pack's vectors of it, by recogniser."""

    name: str
    jobs: list[Job]
    vector: np.ndarray
    known: dict[str, np.ndarray]


def people(faces: Path, pack: FacePack, count: int, angles: int) -> list[Person]:
    """The first `count` of the held-out ones' neutral photos, turned."""
    found, dlib = [], DlibResnet()
    for name in json.loads(PEOPLE.read_text())["held_out"][:count]:
        photo = read_photo(faces / "london" / f"{name}_neutral.jpg")
        face = pack.largest(photo.pixels)
        assert face is not None, name
        stage = set_stage(photo, face, pack.mesh)
        views = [turn(stage, pose) for pose in ANGLES[1 : 1 + angles]]
        jobs = [Job(i, v, control_image(v.landmarks, len(v.image), "mediapipe_face")) for i, v in enumerate(views)]
        vector = dlib.embed(photo.pixels, face)
        known = {r.name: r.embed(photo.pixels, face) for r in pack.recognisers}
        found.append(Person(name, jobs, vector / np.linalg.norm(vector), known))
    return found


def pictures(
    generators: dict[str, DiffusionGenerator], found: list[Person], settings: GenerationSettings
) -> Iterator[tuple[Person, dict[str, list[np.ndarray]]]]:
    """Of each person, by way: what diffusion made of every view, before the photo's own pixels are put back."""
    for i, person in enumerate(found):
        other = found[(i + 1) % len(found)]
        made = {}
        for way in WAYS:
            generator = generators["without" if way == "without" else "with"]
            vector = {"without": None, "own": person.vector, "other": other.vector}[way]
            identity = None if vector is None else generator.identity(vector)
            done = list(generator.generate(person.jobs, settings, identity=identity))
            made[way] = [one.diffused for one in done if one.diffused is not None]
        yield person, made


def differences(
    generators: dict[str, DiffusionGenerator], found: list[Person], settings: GenerationSettings, pack: FacePack
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Similarity to the photo by way and recogniser, and the intervals (over people) of what a vector changes; rows."""
    values: dict[str, dict[str, list[float]]] = {r.name: {way: [] for way in WAYS} for r in pack.recognisers}
    unlike, rows = [], []
    for person, made in pictures(generators, found, settings):
        for recogniser in pack.recognisers:
            for way in WAYS:
                alike = []
                for image in made[way]:
                    face = pack.largest(image)
                    if face is not None:
                        vector = recogniser.embed(image, face)
                        alike.append(recogniser.similarity(person.known[recogniser.name], vector))
                values[recogniser.name][way].append(float(np.mean(alike)) if alike else float("nan"))
        gaps = [np.abs(a.astype(float) - b).mean() for a, b in zip(made["own"], made["other"], strict=True)]
        unlike.append(float(np.mean(gaps)))
        rows.append(np.hstack([person.jobs[0].view.image, *(made[way][0] for way in WAYS)]))
        print(person.name, {name: {way: of[way][-1] for way in WAYS} for name, of in values.items()}, flush=True)
    report: dict[str, Any] = {"mean_difference_own_other_of_255": float(np.mean(unlike)), "similarity_to_photo": {}}
    for name, of in values.items():
        scores = {way: np.array(of[way]) for way in WAYS}
        seen = ~np.isnan(np.stack(list(scores.values()))).any(0)
        report["similarity_to_photo"][name] = {
            "people_whose_face_is_found": int(seen.sum()),
            **{way: float(scores[way][seen].mean()) if seen.any() else None for way in WAYS},
            **{
                f"own_minus_{way}": interval(scores["own"][seen] - scores[way][seen]) if seen.any() else None
                for way in ("without", "other")
            },
        }
    return report, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder that holds london/")
    parser.add_argument("--pack", default="embedded")
    parser.add_argument("--adapter", default=NANO, help="a file, or a folder or name that has face_id.safetensors")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--angles", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    pack = load_pack(asked.pack)
    adapter = FaceIdSettings(
        adapter_id=asked.adapter, weight_name="face_id.safetensors", recogniser="dlib_resnet", scale=asked.scale
    )
    model = ModelSettings(model_id=NANO, device="cpu")
    generators = {
        "without": load_generator(model, {}),
        "with": load_generator(model.model_copy(update={"face_id": adapter}), {}),
    }
    found = people(asked.faces, pack, asked.people, asked.angles)
    report: dict[str, Any] = {
        "pack": pack.name,
        "model": generators["with"].facts["sha256"],
        "adapter": generators["with"].facts["adapters"]["face_id"]["sha256"],
        "people": len(found),
        "angles": asked.angles,
        "scale": asked.scale,
        "by_strength": {},
    }
    sheets = []
    for strength in STRENGTHS:
        settings = GenerationSettings(**RECIPES["small"]["generation"] | {"strength": strength})
        report["by_strength"][str(strength)], rows = differences(generators, found, settings, pack)
        sheets += rows[::5]
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "face_id.json").write_text(json.dumps(report, indent=1) + "\n")
    sheet = cv2.resize(np.vstack(sheets), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(asked.out / "face_id.jpg"), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
