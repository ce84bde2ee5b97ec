"""Whether anyone else can be seen."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason


class SingleFacePresent(AbstractQualityMeasure):
    """Raw: area of the largest other face over this face's, 0 where there is none; may exceed 1.

    OFIQ-derived: quality 1 - raw; the scalar is linear between 0, the threshold and 1. Refused above `at_most`: a head
    in the background does no harm, a second person does.
    """

    at_most: float = Field(default=0.1, gt=0, lt=1)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        raw = max((other.area for other in others), default=0.0) / face.area
        return QualityScore(raw, float(np.interp(raw, [0, self.at_most, 1], [1, THRESHOLD, 0])))

    def refusal(self, raw: float) -> Reason | None:
        return Reason.SECOND_FACE if raw > self.at_most else None
