"""Does a head turn smoothly? A strip of views in small steps: what pose each one reads, and whether pixels flicker."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sdaug.packs import FacePack
from sdaug.synthesis.stage import Stage
from sdaug.synthesis.warp import turn
from sdaug.types import Pose

STEP_DEG = 5
YAWS = tuple(Pose(yaw, 0) for yaw in range(-45, 46, STEP_DEG))
PITCHES = tuple(Pose(0, pitch) for pitch in range(-30, 31, STEP_DEG))


@dataclass(frozen=True)
class Strip:
    """Views of one head in steps along one axis, and the pose each reads, None where it cannot be read."""

    poses: tuple[Pose, ...]
    images: tuple[np.ndarray, ...]
    measured: tuple[Pose | None, ...]


def turned_strip(stage: Stage, poses: Sequence[Pose], pack: FacePack) -> Strip:
    """The staged head at each of `poses`."""
    images = tuple(turn(stage, pose).image for pose in poses)
    faces = [pack.largest(image) for image in images]
    return Strip(tuple(poses), images, tuple(None if face is None else face.pose for face in faces))


def flicker(images: Sequence[np.ndarray]) -> np.ndarray:
    """Per inner image, the mean absolute second difference of pixels along the strip, in grey levels: (N - 2,).

    Steady motion changes every image alike; an image that jumps out of line, in place or in colour, stands out from its
    neighbours. Images are (H, W, 3) uint8; raises ValueError on fewer than three.
    """
    if len(images) < 3:
        raise ValueError(f"{len(images)} images have no second difference; expected three or more")
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in images]
    before, here, after = grey[:-2], grey[1:-1], grey[2:]
    return np.array([np.abs(a - 2 * b + c).mean() for a, b, c in zip(before, here, after, strict=True)])


def worst_flicker(images: Sequence[np.ndarray]) -> float:
    """The largest second difference over the median one: 1 = perfectly even; a single image out of line gives more."""
    values = flicker(images)
    return float(values.max() / max(np.median(values), 1e-6))


def strip_picture(strip: Strip, side: int = 128) -> np.ndarray:
    """The strip side by side, (side, N * side, 3) uint8."""
    return np.hstack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in strip.images])
