"""Quality measures, one a file; the file's name is its name in YAML, its class is its own configuration.

Names and formulas are those of ISO/IEC 29794-5:2025 as its reference software OFIQ (BSI, MIT) has them, where a file
says "OFIQ-derived": landmarks and masks here are others, so no conformance is claimed.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from sdaug.config import Config
from sdaug.types import Face, QualityScore, Reason

THRESHOLD = 0.7
"""Every measure's `scalar` is mapped so that its own threshold lies here."""


class AbstractQualityMeasure(Config):
    """Measures one thing about the face in an image. Abstract; each file beside this one holds one final class."""

    @abstractmethod
    def measure(self, image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> QualityScore:
        """The score of `face` in `image` (H, W, 3) uint8 RGB, where `others` can be seen too."""

    def fault(self, score: QualityScore, source: QualityScore | None) -> Reason | None:
        """Why a view with this score is refused, or None. source: what the photo scores that it was made from."""
        return self.refusal(score.raw)

    @abstractmethod
    def refusal(self, raw: float) -> Reason | None:
        """Why an image with this raw value is refused, or None."""


def scaled(quality: float, at_least: float) -> float:
    """`quality` 0..1 bent so that `at_least` (0..1, both ends excluded) lies at THRESHOLD and both ends stay.

    >>> scaled(0.2, 0.2), scaled(0.0, 0.2), scaled(1.0, 0.2)
    (0.7, 0.0, 1.0)
    """
    return float(np.interp(quality, [0.0, at_least, 1.0], [0.0, THRESHOLD, 1.0]))


def sigmoid(x: float, middle: float, width: float) -> float:
    """The logistic curve of OFIQ's quality maps, 0..1: 0.5 at `middle`, rising over `width`."""
    return 0.5 * (1 + math.tanh((x - middle) / (2 * width)))
