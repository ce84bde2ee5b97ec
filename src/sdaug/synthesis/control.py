"""The ControlNet image of a view, in the drawing its ControlNet was trained on; one file a drawing."""

import numpy as np

from sdaug.config import ControlKind
from sdaug.synthesis.control_mediapipe_face import mediapipe_face
from sdaug.synthesis.control_openpose import openpose

_DRAWINGS = {"mediapipe_face": mediapipe_face, "openpose": openpose}


def control_image(landmarks: np.ndarray, size: int = 512, kind: ControlKind = "mediapipe_face") -> np.ndarray:
    """`landmarks` (478, 3) in pixels of a `size` square, drawn on black: (size, size, 3) uint8 RGB."""
    return _DRAWINGS[kind](landmarks, size)
