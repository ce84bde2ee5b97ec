"""A second opinion about a head's pose, from other networks than MediaPipe's, to judge what the first one gates."""

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from sdaug.face.pnp import PointSet, point_pose
from sdaug.packs import FacePack
from sdaug.recognition.dlib_resnet import model_file
from sdaug.types import Face, Pose

_SHIFTS, _SCALES = (-0.08, 0.0, 0.08), (1.0, 1.15, 1.3)
"""dlib's corners depend on the box they are looked for in: the median over these shifts and sizes is taken."""


def second_kind(pack: FacePack) -> PointSet:
    """Which points the second opinion rests on: SCRFD's own, or dlib's where the pack's detector is MediaPipe's."""
    return "five_points" if pack.facts["detector"] == "insightface_scrfd" else "eye_corners"


def second_pose(image: np.ndarray, face: Face | None, pack: FacePack) -> Pose | None:
    """The pose of `face` in `image` (H, W, 3) uint8 RGB that owes nothing to its landmarks; None where there is none.

    Weaker than `face.pose`; how weak, by kind, is in `face/data/pose_calibration.json`.
    """
    if face is None:
        return None
    kind = second_kind(pack)
    points = face.five_points if kind == "five_points" else eye_corners(image, face.box)
    return None if (points == points[0]).all() else point_pose(points, kind)


@lru_cache(maxsize=1)
def _predictor() -> Any:
    import dlib

    return dlib.shape_predictor(str(model_file("shape_predictor_5_face_landmarks.dat")))  # type: ignore[attr-defined]


def eye_corners(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """dlib's five points (5, 2) float64 of the face in `box`: eye corners and the point under the nose, pixels."""
    import dlib

    x, y, side = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, max(box[2] - box[0], box[3] - box[1])
    found = []
    for right, down, scale in product(_SHIFTS, _SHIFTS, _SCALES):
        middle, half = (x + right * side, y + down * side), scale * side / 2
        square = dlib.rectangle(*(int(m + h) for h in (-half, half) for m in middle))  # type: ignore[attr-defined]
        found.append([(p.x, p.y) for p in _predictor()(np.ascontiguousarray(image), square).parts()])
    return np.median(np.array(found, np.float64), axis=0)
