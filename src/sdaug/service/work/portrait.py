"""The part of a photo that is kept: one face and its surroundings, as large as the gate asks of any image."""

from dataclasses import dataclass

import cv2
import numpy as np

from sdaug.choice import choose_face
from sdaug.packs import FacePack
from sdaug.types import Face, Photo, PhotoError, Reason

MARGIN = 0.6
"""Kept around the face, as a share of its size: nobody else, and as little else as will do."""

SIDE_PX = 512
"""Of the shorter side, whatever the photo had: the size at which every view is made and judged."""


@dataclass(frozen=True)
class Portrait:
    """pixels: (H, W, 3) uint8 RGB, the shorter side SIDE_PX. face: the subject's in it. photo: what it was cut from."""

    photo: Photo
    pixels: np.ndarray
    face: Face


def cut_portrait(photo: Photo, pack: FacePack, min_side_px: float) -> Portrait:
    """The portrait in a photo of one person. Raises PhotoError for none, several, too small or turned too far."""
    face, _ = choose_face(pack.faces(photo.pixels), None, min_side_px)
    x0, y0, x1, y1 = face.box
    margin = MARGIN * max(x1 - x0, y1 - y0)
    top, left = max(round(y0 - margin), 0), max(round(x0 - margin), 0)
    cut = photo.pixels[top : round(y1 + margin), left : round(x1 + margin)]
    height, width = cut.shape[:2]
    scale = SIDE_PX / min(height, width)
    size = max(round(width * scale), SIDE_PX), max(round(height * scale), SIDE_PX)
    pixels = np.ascontiguousarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
    inside = pack.largest(pixels)
    if inside is None or inside.pose is None:
        raise PhotoError(Reason.NO_FACE, "the face was not found again once it was cut out of the photo")
    return Portrait(photo, pixels, inside)
