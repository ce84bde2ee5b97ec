"""Whether the image has enough pixels."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason


class Resolution(AbstractQualityMeasure):
    """Raw: the shorter side in pixels. Refused below `at_least_px`; enough is enough, so the scalar is then 1."""

    at_least_px: int = Field(default=512, gt=0)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        raw = float(min(image.shape[:2]))
        return QualityScore(raw, 1.0 if raw >= self.at_least_px else THRESHOLD * raw / self.at_least_px)

    def refusal(self, raw: float) -> Reason | None:
        return None if raw >= self.at_least_px else Reason.IMAGE_TOO_SMALL
