"""MediaPipe's bundled networks: face boxes, 478 landmarks in 3-D, and the person's outline. No download."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

MIN_DETECTION = 0.5
"""Below this score a box is not a face for us (BlazeFace's own default)."""


@dataclass(frozen=True)
class Detection:
    """A face box (x0, y0, x1, y1) in pixels and its score 0..1."""

    box: tuple[float, float, float, float]
    score: float


def padded(image: np.ndarray, share: float = 0.25) -> tuple[np.ndarray, int]:
    """`image` (H, W, 3) with a grey border of `share` of its shorter side, and the border's width in pixels.

    Detectors miss faces that fill the frame, or score them low.
    """
    pad = round(share * min(image.shape[:2]))
    return cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(127, 127, 127)), pad


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection of two boxes over the smaller one, 0..1.

    >>> overlap((0, 0, 2, 2), (0, 0, 1, 1))
    1.0
    """
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0.0) * max(height, 0.0) / smaller if smaller > 0 else 0.0


def distinct(detections: list[Detection]) -> list[Detection]:
    """Best detection of each face, largest score first; boxes that overlap by more than half are one face."""
    kept: list[Detection] = []
    for candidate in sorted(detections, key=lambda d: -d.score):
        if all(overlap(candidate.box, other.box) <= 0.5 for other in kept):
            kept.append(candidate)
    return kept


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps the native start-up messages of MediaPipe's graphs off the terminal; no setting of its own does."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _short_range() -> Any:
    from mediapipe.python.solutions import face_detection

    return face_detection.FaceDetection(MIN_DETECTION, model_selection=0)


def _full_range() -> Any:
    from mediapipe.python.solutions import face_detection

    return face_detection.FaceDetection(MIN_DETECTION, model_selection=1)


def _landmarker() -> Any:
    from mediapipe.python.solutions import face_mesh

    return face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)


def _segmenter() -> Any:
    from mediapipe.python.solutions import selfie_segmentation

    return selfie_segmentation.SelfieSegmentation(model_selection=0)


class FaceMesh:
    """MediaPipe's face networks, each built at its first use. Images are (H, W, 3) uint8 RGB. Not thread-safe."""

    def __init__(self) -> None:
        self._networks: dict[Callable[[], Any], Any] = {}

    def _run(self, build: Callable[[], Any], image: np.ndarray) -> Any:
        """The answer of a network, built (silently, its first answer included) if this is its first use."""
        if build in self._networks:
            return self._networks[build].process(image)
        with _silence():
            self._networks[build] = build()
            return self._networks[build].process(image)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """All faces, short- and full-range detector together, best first."""
        canvas, pad = padded(image)
        height, width = canvas.shape[:2]
        found = []
        for build in (_short_range, _full_range):
            for hit in self._run(build, canvas).detections or []:
                box = hit.location_data.relative_bounding_box
                x0, y0 = box.xmin * width - pad, box.ymin * height - pad
                found.append(Detection((x0, y0, x0 + box.width * width, y0 + box.height * height), hit.score[0]))
        return distinct(found)

    def landmarks(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray | None:
        """The 478 landmarks (478, 3) float32 of the face in `box`, or None where the network sees none.

        The crop around the box is what makes small faces and faces at the border readable.
        """
        x0, y0, x1, y1 = box
        side = 2.0 * max(x1 - x0, y1 - y0)
        scale = 512.0 / side
        left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
        place = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]], np.float64)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        crop = cv2.warpAffine(image, place, (512, 512), flags=interpolation, borderValue=(127, 127, 127))
        faces = self._run(_landmarker, crop).multi_face_landmarks
        if not faces:
            return None
        points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark], np.float32) * (512 / scale)
        return points + np.array([left, top, 0], np.float32)

    def person(self, image: np.ndarray) -> np.ndarray:
        """How surely each pixel belongs to a person: (H, W) float32, 0..1."""
        return np.clip(self._run(_segmenter, image).segmentation_mask, 0.0, 1.0)

    def close(self) -> None:
        """Frees the networks that were built; they are built again at their next use."""
        while self._networks:
            self._networks.popitem()[1].close()
