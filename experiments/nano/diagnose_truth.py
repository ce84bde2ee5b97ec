"""Why diffusion's views of the 3-D head are behind the warp's: what each thing done to the warp's filling costs alone.

python experiments/nano/diagnose_truth.py --faces FACES --pack PACK --out build/nano/diagnosis
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from evaluate_people import interval

from sdaug.config import NANO, GenerationSettings, ModelSettings
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.source import to_pixels, to_tensor
from sdaug.diffusion.strength import kept
from sdaug.evaluation.truth.head3d import read_views
from sdaug.evaluation.truth.report import FRONTAL, see, similarities
from sdaug.packs import load_pack
from sdaug.recipes import RECIPES
from sdaug.synthesis.control import control_image
from sdaug.synthesis.stage import SIZE, set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import View

BLUR_PX = 2.0
STRENGTHS = (0.3, 0.5, 0.7)
SHOWN = 4
"""Every so many of the views go into the grid."""


def put_back(view: View, image: np.ndarray) -> np.ndarray:
    """`image` where the photo shows nothing, the view's own pixels elsewhere, as the generator does it."""
    stays = kept(view.valid).astype(np.float32)
    return cv2.blendLinear(view.image, np.ascontiguousarray(image), stays, 1 - stays)


def blurred(view: View) -> np.ndarray:
    """The warp's filling, softer."""
    return put_back(view, cv2.GaussianBlur(view.image, (0, 0), BLUR_PX))


def round_trip(generator: DiffusionGenerator) -> Callable[[View], np.ndarray]:
    """The warp's filling, encoded and decoded: what the VAE alone changes."""
    vae = generator.pipeline.vae

    def through(view: View) -> np.ndarray:
        with torch.inference_mode():
            latents = vae.encode(to_tensor(view.image) * 2 - 1).latent_dist.mean
            return put_back(view, to_pixels(vae.decode(latents, return_dict=False)[0][0]))

    return through


def diffused(generator: DiffusionGenerator, hole_strength: float) -> Callable[[View], np.ndarray]:
    """What the network makes of the filling."""
    settings = GenerationSettings(**RECIPES["small"]["generation"] | {"hole_strength": hole_strength})

    def through(view: View) -> np.ndarray:
        drawn = control_image(view.landmarks, len(view.image), "mediapipe_face")
        (made,) = generator.generate([Job(0, view, drawn)], settings)
        if made.image is None:
            raise RuntimeError(made.message)
        return made.image

    return through


def _square(image: np.ndarray) -> np.ndarray:
    """The middle of `image`, as large as a view."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return cv2.resize(image[top : top + side, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder that holds head3d/")
    parser.add_argument("--pack", default="embedded")
    parser.add_argument("--model", default=NANO, help="a name or a model folder")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    generator = load_generator(ModelSettings(model_id=asked.model, device="cpu"), {})
    done: dict[str, Callable[[View], np.ndarray]] = {
        f"blurred by {BLUR_PX:g} px": blurred,
        "encoded and decoded": round_trip(generator),
        **{f"diffusion, hole strength {s:g}": diffused(generator, s) for s in STRENGTHS},
    }
    pack = load_pack(asked.pack)
    photos = read_views(asked.faces / "head3d")
    face = pack.largest(photos[FRONTAL].pixels)
    assert face is not None
    stage = set_stage(photos[FRONTAL], face, pack.mesh)
    gaps: dict[str, dict[str, list[float]]] = {name: {} for name in done}
    rows = []
    for i, (pose, photo) in enumerate((p, photo) for p, photo in photos.items() if p != FRONTAL):
        view, true = turn(stage, pose), see(photo.pixels, pack)
        by_warp = similarities(see(view.image, pack), true, pack)
        images = {name: make(view) for name, make in done.items()}
        for name, image in images.items():
            for recogniser, value in similarities(see(image, pack), true, pack).items():
                gaps[name].setdefault(recogniser, []).append(value - by_warp[recogniser])
        if i % SHOWN == 0:
            rows.append(np.hstack([_square(photo.pixels), view.image, *images.values()]))
    report: dict[str, Any] = {
        "pack": pack.name,
        "model": generator.facts["sha256"],
        "views": len(photos) - 1,
        "minus_the_warp_to_true": {
            name: {recogniser: interval(np.array(values)) for recogniser, values in of.items()}
            for name, of in gaps.items()
        },
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "diagnosis.json").write_text(json.dumps(report, indent=1) + "\n")
    sheet = cv2.resize(np.vstack(rows), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(asked.out / "diagnosis.jpg"), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
