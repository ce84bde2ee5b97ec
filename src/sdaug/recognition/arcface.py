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

    @property
    def preprocessing(self) -> dict[str, Any]:
        return {
            "id": "arcface_five_points/1",
            "input_px": int(self._network.input_size[0]),
            "input_mean": float(self._network.input_mean),
            "input_std": float(self._network.input_std),
            "colour_order": "RGB",
            "alignment": "similarity of five points to insightface's 112 px template, bilinear, black beyond the image",
        }

    def embed(self, image: np.ndarray, face: Face) -> np.ndarray:
        chip = aligned_face(image, face.five_points, self._network.input_size[0])[..., ::-1]
        vector = np.asarray(self._network.get_feat(np.ascontiguousarray(chip)), np.float32).ravel()
        return vector / np.linalg.norm(vector)

    @staticmethod
    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.dot(a, b))
