"""The skin a face shows, and its light: what the exposure measures look at, whatever surrounds the face."""

import cv2
import numpy as np

from sdaug.types import Face

REC_709 = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Share of linear red, green and blue in luminance."""

_LEVELS = np.linspace(0, 1, 256)
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""sRGB's transfer curve (IEC 61966-2-1) for each 8-bit value."""


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Linear luminance of sRGB `pixels` (..., 3) uint8, 0..255 uint8: what ISO/IEC 29794-5 measures exposure on.

    >>> luminance(np.array([[128, 128, 128], [255, 255, 255]], np.uint8)).tolist()
    [55, 255]
    """
    return np.rint(_LINEAR[pixels] @ REC_709 * 255).astype(np.uint8)


def face_pixels(image: np.ndarray, face: Face) -> np.ndarray:
    """The pixels (N, 3) uint8 inside the hull of the landmarks, or where there are none, the box's inner ellipse.

    N >= 1: a face that lies wholly outside the image gives its nearest pixel.
    """
    height, width = image.shape[:2]
    if face.landmarks is not None:
        outline = cv2.convexHull(face.landmarks[:468, :2].round().astype(np.int32))
    else:
        x0, y0, x1, y1 = face.box
        middle, half = (round((x0 + x1) / 2), round((y0 + y1) / 2)), (round((x1 - x0) / 2), round((y1 - y0) / 2))
        outline = np.asarray(cv2.ellipse2Poly(middle, half, 0, 0, 360, 5))[:, None]
    left, top = (int(v) for v in np.clip(outline.min((0, 1)), 0, [width - 1, height - 1]))
    right, bottom = (int(v) for v in np.clip(outline.max((0, 1)), 0, [width - 1, height - 1]))
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillConvexPoly(mask, outline - np.array([left, top], np.int32), (1,))
    inside = image[top : bottom + 1, left : right + 1][mask > 0]
    return inside if len(inside) else image[top : top + 1, left]


def cheeks(image: np.ndarray, face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Two squares below the eyes, (K, K, 3) uint8 each, the image's left first; side 0.3 of the eyes' distance.

    Their centres lie half-way between eye and mouth corner. A square beyond the image repeats the image's border.
    """
    eyes, mouth = face.five_points[:2].astype(np.float64), face.five_points[3:].astype(np.float64)
    side = max(round(0.3 * float(np.linalg.norm(eyes[1] - eyes[0]))), 1)
    left, right = (cv2.getRectSubPix(image, (side, side), (float(x), float(y))) for x, y in (eyes + mouth) / 2)
    return left, right
