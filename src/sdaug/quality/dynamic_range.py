"""How many levels of light the face is drawn in."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sdaug.face.region import face_pixels, luminance
from sdaug.quality import AbstractQualityMeasure, scaled
from sdaug.types import Face, QualityScore, Reason


class DynamicRange(AbstractQualityMeasure):
    """Raw: entropy of the histogram of the face's linear luminance, bits, 0..8. OFIQ-derived: quality raw / 8.

    Refused below `at_least_bits`.
    """

    at_least_bits: float = Field(default=3.5, gt=0, lt=8)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        counts = np.bincount(luminance(face_pixels(image, face)), minlength=256)
        shares = counts[counts > 0] / counts.sum()
        raw = float(max(-(shares * np.log2(shares)).sum(), 0.0))
        return QualityScore(raw, scaled(raw / 8, self.at_least_bits / 8))

    def refusal(self, raw: float) -> Reason | None:
        return None if raw >= self.at_least_bits else Reason.LOW_DYNAMIC_RANGE
