"""Whether the face's mean luminance is one at which skin can be told apart: neither too dark nor too bright."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sdaug.face.region import face_pixels, luminance
from sdaug.quality import AbstractQualityMeasure, scaled, sigmoid
from sdaug.types import Face, QualityScore, Reason


class LuminanceMean(AbstractQualityMeasure):
    """Raw: mean linear luminance of the face over 255, 0..1. OFIQ-derived: quality s(m; .2, .05) (1 - s(m; .8, .05)).

    Refused where the quality is below `at_least`. OFIQ's curve is 0.5 at m = 0.2, which is the linear luminance of
    medium skin in good light: a threshold near there would refuse dark skin, so the default asks for far less.
    """

    at_least: float = Field(default=0.03, gt=0, lt=1)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        raw = float(luminance(face_pixels(image, face)).mean()) / 255
        return QualityScore(raw, scaled(_quality(raw), self.at_least))

    def refusal(self, raw: float) -> Reason | None:
        if _quality(raw) >= self.at_least:
            return None
        return Reason.TOO_DARK if raw < 0.5 else Reason.TOO_BRIGHT


def _quality(mean: float) -> float:
    return sigmoid(mean, 0.2, 0.05) * (1 - sigmoid(mean, 0.8, 0.05))
