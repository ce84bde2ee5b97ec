"""How many pixels lie between the eyes, as if the head looked at the camera."""

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sdaug.quality import AbstractQualityMeasure, scaled, sigmoid
from sdaug.types import Face, QualityScore, Reason

MAX_YAW_DEG = 75.0
"""The correction is not trusted beyond: at 90 degrees the eyes lie behind each other."""


class InterEyeDistance(AbstractQualityMeasure):
    """Raw: distance of the eyes in pixels over cos(yaw); the yaw counts as 0 where it cannot be read.

    OFIQ-derived: quality s(raw; 70, 20). Refused below `at_least_px`; 35 is what a face has once it is aligned for a
    recogniser (112 px), so below it there are fewer pixels than the recogniser looks at.
    """

    at_least_px: float = Field(default=35.0, gt=0)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        left, right = face.five_points[:2].astype(np.float64)
        yaw = 0.0 if face.pose is None else min(abs(face.pose.yaw_deg), MAX_YAW_DEG)
        raw = float(np.linalg.norm(right - left)) / math.cos(math.radians(yaw))
        return QualityScore(raw, scaled(_quality(raw), _quality(self.at_least_px)))

    def refusal(self, raw: float) -> Reason | None:
        return None if raw >= self.at_least_px else Reason.FACE_TOO_SMALL


def _quality(px: float) -> float:
    return sigmoid(px, 70, 20)
