"""Whether the image is neither too dark nor too bright."""

import numpy as np

from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason


class Brightness(AbstractQualityMeasure):
    """Raw: mean of all pixel values, 0..255. Refused below `low` or above `high`; best half-way between."""

    low: float = 50.0
    high: float = 200.0

    def measure(self, image: np.ndarray, face: Face) -> QualityScore:
        raw = float(image.mean())
        middle = (self.low + self.high) / 2
        known = [0.0, self.low, middle, self.high, 255.0]
        return QualityScore(raw, float(np.interp(raw, known, [0, THRESHOLD, 1, THRESHOLD, 0])))

    def refusal(self, raw: float) -> Reason | None:
        if raw < self.low:
            return Reason.TOO_DARK
        return Reason.TOO_BRIGHT if raw > self.high else None
