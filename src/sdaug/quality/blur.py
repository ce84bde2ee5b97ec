"""How blurred the aligned face is."""

from collections.abc import Sequence

import cv2
import numpy as np
from pydantic import Field

from sdaug.face.alignment import aligned_face
from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason

INHERITED_LOSS = 0.1
"""By how much the scalar of a view may lie below its photo's where the photo misses the bound itself."""


class Blur(AbstractQualityMeasure):
    """Raw: exp(-v / 100), v = variance of the Laplacian of the aligned 112 px grey face; 0 = sharp, 1 = flat.

    Measured on the aligned face because the variance depends on resolution. Refused at or above `below`.
    A view cannot be sharper than its photo: where that misses the bound itself, a view may be as blurred as it, by its
    scalar and within a tenth, but never as blurred as `hopeless_from`.
    """

    below: float = Field(default=0.3, gt=0, lt=1)
    hopeless_from: float = Field(default=0.8, gt=0, lt=1)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        # A black border would be the sharpest edge of all.
        chip = aligned_face(image, face.five_points, border=cv2.BORDER_REPLICATE)
        grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
        raw = float(np.exp(-cv2.Laplacian(grey, cv2.CV_64F).var() / 100))
        sharp = raw < self.below
        scalar = 1 - (1 - THRESHOLD) * raw / self.below if sharp else THRESHOLD * (1 - raw) / (1 - self.below)
        return QualityScore(raw, scalar)

    def fault(self, score: QualityScore, source: QualityScore | None) -> Reason | None:
        inherited = source is not None and score.scalar >= source.scalar - INHERITED_LOSS
        return None if inherited and score.raw < self.hopeless_from else self.refusal(score.raw)

    def refusal(self, raw: float) -> Reason | None:
        return None if raw < self.below else Reason.BLURRED
