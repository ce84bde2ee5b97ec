"""The ControlNet image of CrucibleAI's MediaPipe-face ControlNet, drawn from landmarks instead of from a photo."""

from functools import lru_cache

import cv2
import numpy as np

_OVAL, _LIPS = (10, 200, 10), (10, 180, 10)
_RIGHT_EYE, _LEFT_EYE = (180, 200, 10), (10, 200, 180)
_RIGHT_BROW, _LEFT_BROW = (180, 220, 10), (10, 220, 180)
_RIGHT_PUPIL, _LEFT_PUPIL = (250, 200, 10), (10, 200, 250)


@lru_cache(maxsize=1)
def _lines() -> tuple[tuple[int, int, tuple[int, int, int]], ...]:
    """Every (from, to, colour) in the order the ControlNet's own annotator draws them; where groups share a line, the
    first place and the last colour count, as in its dictionary."""
    from mediapipe.python.solutions import face_mesh_connections as mesh

    groups = (
        (mesh.FACEMESH_FACE_OVAL, _OVAL),
        (mesh.FACEMESH_LEFT_EYE, _LEFT_EYE),
        (mesh.FACEMESH_LEFT_EYEBROW, _LEFT_BROW),
        (mesh.FACEMESH_RIGHT_EYE, _RIGHT_EYE),
        (mesh.FACEMESH_RIGHT_EYEBROW, _RIGHT_BROW),
        (mesh.FACEMESH_LIPS, _LIPS),
    )
    colours = {edge: colour for edges, colour in groups for edge in edges}
    return tuple((a, b, colour) for (a, b), colour in colours.items())


def mediapipe_face(landmarks: np.ndarray, size: int = 512) -> np.ndarray:
    """Contours and pupils of `landmarks` (478, 3) in pixels of a `size` square: (size, size, 3) uint8 RGB on black.

    Lines outside the image are left out, hidden ones are not: the network was trained without hidden-line removal.
    """
    canvas = np.zeros((size, size, 3), np.uint8)
    flat = landmarks[:, :2]
    inside = ((flat >= 0) & (flat < size)).all(1)
    pixels = np.floor(flat).astype(int)
    for a, b, colour in _lines():
        if inside[a] and inside[b]:
            cv2.line(canvas, pixels[a].tolist(), pixels[b].tolist(), colour, 2)
    for index, colour in ((468, _RIGHT_PUPIL), (473, _LEFT_PUPIL)):
        if inside[index]:
            x, y = pixels[index]
            canvas[max(y - 2, 0) : y + 2, max(x - 2, 0) : x + 2] = colour
    return canvas
