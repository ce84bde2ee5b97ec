"""How blurred the aligned face is."""

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np
from pydantic import Field

from sdaug.face.alignment import aligned_face
from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.types import Face, QualityScore, Reason


class Blur(AbstractQualityMeasure):
    """Raw: exp(-v / 100), v = variance of the Laplacian of the aligned 112 px grey face; 0 = sharp, 1 = flat.

    Measured on the aligned face because the variance depends on resolution. Refused at or above `below`.
    """

    inherited: ClassVar[bool] = True

    below: float = Field(default=0.3, gt=0, lt=1)

    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        # A black border would be the sharpest edge of all.
        chip = aligned_face(image, face.five_points, border=cv2.BORDER_REPLICATE)
        grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
        raw = float(np.exp(-cv2.Laplacian(grey, cv2.CV_64F).var() / 100))
        sharp = raw < self.below
        scalar = 1 - (1 - THRESHOLD) * raw / self.below if sharp else THRESHOLD * (1 - raw) / (1 - self.below)
        return QualityScore(raw, scalar)

    def refusal(self, raw: float) -> Reason | None:
        return None if raw < self.below else Reason.BLURRED
