"""How sure the pack's detector is that this is a face."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason


class Confidence(AbstractQualityMeasure):
    """Raw: the detector's score, 0..1. Refused at or below `above`."""

    above: float = Field(default=0.7, gt=0, lt=1)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        raw = face.confidence
        below = raw <= self.above
        scalar = THRESHOLD * raw / self.above if below else 1 - (1 - THRESHOLD) * (1 - raw) / (1 - self.above)
        return QualityScore(raw, float(np.clip(scalar, 0, 1)))

    def refusal(self, raw: float) -> Reason | None:
        return None if raw > self.above else Reason.LOW_CONFIDENCE
