"""The fixed-size upright face that recognisers and blur measures look at."""

import cv2
import numpy as np

from sdaug.face.rotation import similarity_fit

TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""Where the five points lie in a 112 px face: the figures ArcFace was trained with (insightface, face_align)."""


def aligned_face(
    image: np.ndarray, five_points: np.ndarray, size: int = 112, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """The face at `five_points` (5, 2) in `image` (H, W, 3) uint8, turned upright and scaled: (size, size, 3) uint8.

    border: what lies beyond the image, one of OpenCV's; by default black, as recognisers were trained.
    """
    scale, matrix, shift = similarity_fit(five_points.astype(np.float64), TEMPLATE * (size / 112))
    place = np.column_stack([scale * matrix, shift])
    return cv2.warpAffine(image, place, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
