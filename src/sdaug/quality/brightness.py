"""Whether the image is neither too dark nor too bright."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason


class Brightness(AbstractQualityMeasure):
    """Raw: mean of all pixel values, 0..255. Refused below `low` or above `high`; best half-way between."""

    low: float = Field(default=50.0, gt=0, lt=255)
    high: float = Field(default=200.0, gt=0, lt=255)

    @model_validator(mode="after")
    def _in_order(self) -> "Brightness":
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; expected low < high")
        return self

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        raw = float(image.mean())
        middle = (self.low + self.high) / 2
        known = [0.0, self.low, middle, self.high, 255.0]
        return QualityScore(raw, float(np.interp(raw, known, [0, THRESHOLD, 1, THRESHOLD, 0])))

    def refusal(self, raw: float) -> Reason | None:
        if raw < self.low:
            return Reason.TOO_DARK
        return Reason.TOO_BRIGHT if raw > self.high else None
