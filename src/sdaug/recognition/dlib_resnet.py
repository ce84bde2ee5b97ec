"""dlib's face recognition ResNet: 128 numbers, Euclidean distance, public domain, inside a PyPI package."""

from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sdaug.measure.digest import file_sha256
from sdaug.recognition import AbstractRecogniser
from sdaug.types import Face

SAME_PERSON_DISTANCE = 0.6
"""The library's own threshold: vectors closer than this are one person."""

CHIP_PX = 150
"""The side of the face that the network looks at."""

_PADDING = 0.25

_FIVE = (263, 362, 33, 133, 2)
"""Mesh landmarks in dlib's five-point order: left eye outer and inner corner, right eye likewise, under the nose."""


def model_file(name: str) -> Path:
    """A weight file inside `face_recognition_models`, located without importing it (its import needs pkg_resources)."""
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("package 'face_recognition_models' is not installed; it holds dlib's recogniser")
    return Path(spec.submodule_search_locations[0]) / "models" / name


class DlibResnet(AbstractRecogniser):
    """`similarity` = 1 - d / 0.6 of the raw vectors' Euclidean distance d: 1 = the same, 0 = the library's threshold.

    Not a cosine (strangers' vectors have cosines of 0.8 to 0.9), and the vectors are never normalised. Aligned by the
    face's landmarks; where there are none, by dlib's own five-point predictor. Given `describe`, that is asked for the
    vector of a chip, instead of the network here.
    """

    name = "dlib_resnet"
    metric: Literal["cosine", "euclidean"] = "euclidean"
    dim = 128

    def __init__(self, describe: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        self._describe = describe or self.describe
        self._weights = model_file("dlib_face_recognition_resnet_model_v1.dat")
        self.sha256 = file_sha256(self._weights)

    @cached_property
    def _network(self) -> Any:
        import dlib

        return dlib.face_recognition_model_v1(str(self._weights))  # type: ignore[attr-defined]

    @cached_property
    def _predictor(self) -> Any:
        import dlib

        return dlib.shape_predictor(str(model_file("shape_predictor_5_face_landmarks.dat")))  # type: ignore[attr-defined]

    @property
    def preprocessing(self) -> dict[str, Any]:
        return {
            "id": "dlib_five_points/1",
            "input_px": CHIP_PX,
            "input_mean": None,
            "input_std": None,
            "colour_order": "RGB",
            "alignment": "dlib's own chip of five points, padding 0.25",
        }

    def embed(self, image: np.ndarray, face: Face) -> np.ndarray:
        import dlib

        box = dlib.rectangle(*(int(edge) for edge in face.box))  # type: ignore[attr-defined]
        if face.landmarks is None:
            shape = self._predictor(image, box)
        else:
            points = [dlib.point(int(round(x)), int(round(y))) for x, y in face.landmarks[list(_FIVE), :2].tolist()]  # type: ignore[attr-defined]
            shape = dlib.full_object_detection(box, points)  # type: ignore[attr-defined]
        return self._describe(dlib.get_face_chip(np.ascontiguousarray(image), shape, CHIP_PX, _PADDING))  # type: ignore[attr-defined]

    def describe(self, chip: np.ndarray) -> np.ndarray:
        """The vector (128,) float32 of a face that is cut out: `chip` (150, 150, 3) uint8 RGB."""
        return np.array(self._network.compute_face_descriptor(np.ascontiguousarray(chip)), np.float32)

    @staticmethod
    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        return 1.0 - float(np.linalg.norm(a - b)) / SAME_PERSON_DISTANCE
