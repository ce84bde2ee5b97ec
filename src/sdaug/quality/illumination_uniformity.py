"""Whether both cheeks are lit alike."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sdaug.face.region import cheeks, luminance
from sdaug.quality import AbstractQualityMeasure, scaled
from sdaug.types import Face, QualityScore, Reason


class IlluminationUniformity(AbstractQualityMeasure):
    """Raw: overlap of the histograms of linear luminance of two cheek squares (side 0.3 of the eyes' distance), 0..1.

    OFIQ-derived: quality raw ** 0.3. Refused below a quality of `at_least`. Meant for frontal faces: on a turned head
    the far square lies on the face's edge, so by default it only reports.
    """

    at_least: float = Field(default=0.3, gt=0, lt=1)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        left, right = (np.bincount(luminance(c).ravel(), minlength=256) / c[..., 0].size for c in cheeks(image, face))
        raw = float(np.minimum(left, right).sum())
        return QualityScore(raw, scaled(raw**0.3, self.at_least))

    def refusal(self, raw: float) -> Reason | None:
        return None if raw**0.3 >= self.at_least else Reason.UNEVEN_LIGHT
