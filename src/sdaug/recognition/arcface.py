"""ArcFace-style recognisers from an insightface folder: unit vectors, cosine similarity."""

from typing import Any, Literal

import numpy as np

from sdaug.face.alignment import aligned_face
from sdaug.measure.digest import file_sha256
from sdaug.recognition import AbstractRecogniser
from sdaug.types import Face


class ArcFace(AbstractRecogniser):
    """`similarity` is the cosine, -1..1. `network` is the recognition model insightface loaded from the folder."""

    name = "arcface"
    metric: Literal["cosine", "euclidean"] = "cosine"

    def __init__(self, network: Any) -> None:
        self._network = network
        self.dim = int(network.output_shape[-1])
        self.sha256 = file_sha256(network.model_file)

    def embed(self, image: np.ndarray, face: Face) -> np.ndarray:
        chip = aligned_face(image, face.five_points, self._network.input_size[0])[..., ::-1]
        vector = np.asarray(self._network.get_feat(np.ascontiguousarray(chip)), np.float32).ravel()
        return vector / np.linalg.norm(vector)

    @staticmethod
    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.dot(a, b))
