"""How much of the face is too dark to show anything."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sdaug.face.region import face_pixels, luminance
from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason

DARK = 25
"""Linear luminance, 0..255, at and below which a pixel is under-exposed."""


class UnderExposurePrevention(AbstractQualityMeasure):
    """Raw: share of the face at a linear luminance of 25 or less of 255, 0..1. OFIQ-derived: the native measure; the
    scalar is linear between 0, the threshold and 1. Refused above `at_most`.
    """

    at_most: float = Field(default=0.985, gt=0, lt=1)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        raw = float((luminance(face_pixels(image, face)) <= DARK).mean())
        return QualityScore(raw, float(np.interp(raw, [0, self.at_most, 1], [1, THRESHOLD, 0])))

    def refusal(self, raw: float) -> Reason | None:
        return Reason.UNDER_EXPOSED if raw > self.at_most else None
