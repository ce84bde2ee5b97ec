"""A photo made ready for turning: framed about the head, the head parted from what is behind it."""

from dataclasses import dataclass

import cv2
import numpy as np

from sdaug.face.mesh import FaceMesh
from sdaug.synthesis.fill import rough_fill
from sdaug.synthesis.head import HeadModel, build_head, paint
from sdaug.synthesis.raster import affine_maps, interpolate
from sdaug.synthesis.template import OVAL
from sdaug.synthesis.texture import Texture, find_texture
from sdaug.types import Face, Photo

SIZE = 512
"""Side of every generated image, pixels."""

FACE_SHARE = 0.50
"""Height of the face outline as a share of the image."""


@dataclass(frozen=True)
class Stage:
    """A source photo made ready for turning; shared by all its views. S: the image's side.

    image: (S, S, 3) uint8 RGB, the photo framed about the head. plate: likewise, without the head. matte: (S, S)
    float32, 1 where a pixel moves with the head. untouched: likewise, 1 inside the photo but not on the head. head: in
    3-D. texture: where the head's surface finds its colours.
    """

    image: np.ndarray
    plate: np.ndarray
    matte: np.ndarray
    untouched: np.ndarray
    head: HeadModel
    texture: Texture


def set_stage(photo: Photo, face: Face, mesh: FaceMesh, size: int = SIZE) -> Stage:
    """Frames `photo` about `face` and parts head from background; raises ValueError for a face without landmarks.

    size: side of the stage and of its views, pixels.
    """
    if face.landmarks is None or face.pose is None:
        raise ValueError("the face has no landmarks; expected one that the landmark network can read")
    image, inside, landmarks = _frame(photo, face.landmarks, size)
    outline = landmarks[list(OVAL), :2]
    person = mesh.person(image)
    head = build_head(landmarks, face.pose, person, inside)
    painted = paint(head, face.pose, size)
    triangles = head.triangles[painted.front]
    maps = affine_maps(painted.flat[triangles], head.follows[triangles][..., None])
    follows = interpolate(painted.index, maps)[0]
    matte = np.maximum(person * np.clip(follows * 4, 0, 1), _polygon(outline, size, size / 256))
    matte = cv2.GaussianBlur(matte, (0, 0), 1.0)
    return Stage(
        image=image,
        plate=_plate(image, inside, person, matte * (follows > 0.6), (painted.index >= 0) & (follows < 0.6), outline),
        matte=matte,
        untouched=np.where(matte > 0.04, 0, inside).astype(np.float32),
        head=head,
        texture=find_texture(head, painted, image, matte, inside),
    )


def _frame(photo: Photo, landmarks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photo, its coverage and `landmarks`, scaled and shifted so that the face is FACE_SHARE of a square of `size`."""
    oval = landmarks[list(OVAL)]
    middle = (oval[:, :2].max(0) + oval[:, :2].min(0)) / 2
    scale = float(FACE_SHARE * size / max(np.ptp(oval[:, 1]), 1.25 * np.ptp(oval[:, 0])))
    shift = np.array([size / 2, size * 0.53]) - scale * middle
    pixels = photo.pixels
    place = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    if scale < 0.5:
        pixels = cv2.resize(pixels, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        place[:, :2] = [[0.5, 0], [0, 0.5]]
    image = cv2.warpAffine(pixels, place, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones(pixels.shape[:2], np.float32), place, (size, size))
    return image, inside, landmarks * np.float32(scale) + np.array([*shift, 0], np.float32)


def _polygon(points: np.ndarray, size: int, softness: float) -> np.ndarray:
    """A filled polygon (N, 2) with a soft edge: (size, size) float32, 0..1."""
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], [1.0])
    return cv2.GaussianBlur(mask, (0, 0), softness)


def _plate(
    image: np.ndarray, inside: np.ndarray, person: np.ndarray, matte: np.ndarray, neck: np.ndarray, outline: np.ndarray
) -> np.ndarray:
    """The photo without its head: what is behind it continued smoothly, also where the photo ends."""
    rows = np.arange(len(image))[:, None]
    chin, top = outline[:, 1].max(), outline[:, 1].min()
    core = (matte > 0.04) | ((person > 0.1) & ~neck & (rows < chin))
    halo = cv2.dilate(core.astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    taken = core | (halo & ((person < 0.5) | (rows < chin - 0.25 * (chin - top))) & ~neck)
    background = ~taken & (inside > 0.5) & (person < 0.1)
    filled = rough_fill(image, background if background.any() else ~taken & (inside > 0.5))
    gone = (taken | (inside < 0.5)).astype(np.float32)
    soft = cv2.GaussianBlur(gone, (0, 0), 2)
    return cv2.blendLinear(filled, image, soft, 1 - soft)
