"""What the gate is judged on: people's frontal photos, their views, and images that must be refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from sdaug.config import GateSettings
from sdaug.face.photo import read_photo
from sdaug.gate import Gate, Sight, open_gate
from sdaug.packs import FacePack
from sdaug.synthesis.stage import SIZE, set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES

BLUR_SIGMA_PX = 6.0
"""Gaussian blur of the blurred class, on images of 512 px whose faces are about 256 px high."""


@dataclass(frozen=True)
class Person:
    """One person as the gate sees them. A sight is None where no face was found.

    gate: opened on the photo. views: the warp's. blurred: every third of the same views by angle index, blurred.
    copies: the photo itself and its frontal view, neither of them turned.
    """

    name: str
    gate: Gate
    views: tuple[Sight | None, ...]
    blurred: dict[int, Sight | None]
    copies: tuple[Sight | None, ...]


def read_people(folder: Path, pack: FacePack, settings: GateSettings) -> Iterator[Person]:
    """Everyone with a `NNN_neutral.jpg` in `folder`, in order of number; only the recogniser that decides is asked.

    Raises FileNotFoundError where there are fewer than four, ValueError for a photo without a face.
    """
    pack = replace(pack, recognisers=pack.recognisers[:1])
    paths = sorted(folder.glob("*_neutral.jpg"))
    if len(paths) < 4:
        raise FileNotFoundError(f"{folder} holds {len(paths)} photos NNN_neutral.jpg; expected at least 4 people")
    for number, path in enumerate(paths):
        photo = read_photo(path)
        face = pack.largest(photo.pixels)
        if face is None:
            raise ValueError(f"no face in {path.name}; expected a frontal portrait")
        gate = open_gate(pack, settings, photo.pixels, face)
        stage = set_stage(photo, face, pack.mesh)
        images = [turn(stage, pose).image for pose in ANGLES]
        views = tuple(gate.look(image) for image in images)
        yield Person(
            path.name.split("_")[0],
            gate,
            views,
            {
                index: gate.look(cv2.GaussianBlur(images[index], (0, 0), BLUR_SIGMA_PX))
                for index in range(number % 3, len(images), 3)
            },
            (gate.look(_square(photo.pixels)), views[0]),
        )


def _square(pixels: np.ndarray) -> np.ndarray:
    """The photo enlarged, if need be, to the least side that a gate accepts: its size must not be why it is refused."""
    scale = max(SIZE / min(pixels.shape[:2]), 1.0)
    return pixels if scale == 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def noise_images(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Images (512, 512, 3) uint8 RGB without a person: by turns white noise, smooth noise and a coloured gradient."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        side = (SIZE, 16, 2)[index % 3]
        coarse = rng.integers(0, 256, (side, side, 3), np.uint8)
        yield cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
