"""Face recognisers, one a file: an aligned face in, a vector out, and how two vectors compare."""

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np

from sdaug.types import Face


class AbstractRecogniser(ABC):
    """A recogniser. Abstract; each file beside this one holds one final class.

    name: as in records. metric: how its vectors compare. dim: their length. sha256: of the weight file.
    """

    name: str
    metric: Literal["cosine", "euclidean"]
    dim: int
    sha256: str

    @property
    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """What is done to a face before the network sees it: `id` (another one gives other vectors), `input_px`,
        `input_mean`, `input_std` (None where the network does that itself), `colour_order`, `alignment`."""

    @abstractmethod
    def embed(self, image: np.ndarray, face: Face) -> np.ndarray:
        """The vector (dim,) float32 of `face` in `image` (H, W, 3) uint8 RGB."""

    @staticmethod
    @abstractmethod
    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        """How alike two vectors are; higher is more alike, the scale is the recogniser's own."""
