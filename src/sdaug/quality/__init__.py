"""Quality measures, one a file; the file's name is its name in YAML, its class is its own configuration."""

from abc import abstractmethod

import numpy as np

from sdaug.config import Config
from sdaug.types import Face, QualityScore, Reason

THRESHOLD = 0.7
"""Every measure's `scalar` is mapped so that its own threshold lies here."""


class AbstractQualityMeasure(Config):
    """Measures one thing about the face in an image. Abstract; each file beside this one holds one final class."""

    @abstractmethod
    def measure(self, image: np.ndarray, face: Face) -> QualityScore:
        """The score of `face` in `image` (H, W, 3) uint8 RGB."""

    @abstractmethod
    def refusal(self, raw: float) -> Reason | None:
        """Why an image with this raw value is refused, or None."""
