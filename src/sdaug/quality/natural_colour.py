"""Whether the skin has a colour that skin can have."""

from collections.abc import Sequence

import cv2
import numpy as np
from pydantic import Field

from sdaug.face.region import cheeks
from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason

A_STAR, B_STAR = (5.0, 25.0), (5.0, 35.0)
"""Ranges of CIELAB a* and b* that count as skin, from OFIQ."""

FAR = 40.0
"""A distance at which the scalar is 0."""


class NaturalColour(AbstractQualityMeasure):
    """Raw: CIELAB distance of the cheeks' mean (a*, b*) to [5, 25] x [5, 35], >= 0. OFIQ-derived: the native measure;
    the scalar is linear between 0, the threshold and 40. Refused above `at_most`. A grey photo has no colour at all
    and is 7 away: that is why it only reports by default.
    """

    at_most: float = Field(default=10.0, gt=0, lt=FAR)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        squares = np.concatenate([cheek.reshape(-1, 1, 3) for cheek in cheeks(image, face)])
        lab = cv2.cvtColor(squares.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[:, 0]
        a, b = (float(v) for v in lab[:, 1:].mean(0))
        raw = float(np.hypot(a - np.clip(a, *A_STAR), b - np.clip(b, *B_STAR)))
        return QualityScore(raw, float(np.interp(raw, [0, self.at_most, FAR], [1, THRESHOLD, 0])))

    def refusal(self, raw: float) -> Reason | None:
        return Reason.UNNATURAL_COLOUR if raw > self.at_most else None
