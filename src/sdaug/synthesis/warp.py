"""Turning the photo: the head's own pixels re-rendered at a new pose over a background that stays where it is."""

from dataclasses import dataclass

import cv2
import numpy as np

from sdaug.face.mesh import FaceMesh
from sdaug.face.pose import MESH
from sdaug.face.rotation import rotation
from sdaug.synthesis.fill import pyramid_fill
from sdaug.synthesis.head import OVAL, HeadModel, build_head, project
from sdaug.synthesis.raster import affine_maps, facing, interpolate, triangle_index
from sdaug.types import Face, Photo, Pose, View

SIZE = 512
"""Side of every generated image, pixels."""

FACE_SHARE = 0.50
"""Height of the face outline as a share of the image."""


MAX_STRETCH = 4.0
"""A source pixel drawn over this many pixels' length is not trusted at all, over half of it fully."""

UNSEEN = 0.25
"""Below this validity a pixel belongs to the hole."""


@dataclass(frozen=True)
class Stage:
    """A source photo made ready for turning; shared by all its views.

    image: (SIZE, SIZE, 3) uint8 RGB, the photo framed about the head. layer: the head's own colours, continued beyond
    its outline so that no background clings to it. plate: the photo with the head taken out.
    matte: (SIZE, SIZE) float32, 1 where a pixel moves with the head. inside: (SIZE, SIZE) float32, 1 inside the photo.
    """

    image: np.ndarray
    layer: np.ndarray
    plate: np.ndarray
    matte: np.ndarray
    inside: np.ndarray
    untouched: np.ndarray
    head: HeadModel


def _frame(photo: Photo, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photo, its coverage and `landmarks`, scaled and shifted so that the face takes FACE_SHARE of a SIZE square."""
    oval = landmarks[list(OVAL)]
    middle = (oval[:, :2].max(0) + oval[:, :2].min(0)) / 2
    scale = float(FACE_SHARE * SIZE / max(np.ptp(oval[:, 1]), 1.25 * np.ptp(oval[:, 0])))
    shift = np.array([SIZE / 2, SIZE * 0.53]) - scale * middle
    pixels = photo.pixels
    place = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    if scale < 0.5:
        pixels = cv2.resize(pixels, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        place[:, :2] = [[0.5, 0], [0, 0.5]]
    image = cv2.warpAffine(pixels, place, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones(pixels.shape[:2], np.float32), place, (SIZE, SIZE))
    return image, inside, landmarks * np.float32(scale) + np.array([*shift, 0], np.float32)


def _polygon(points: np.ndarray, size: int, softness: float) -> np.ndarray:
    """A filled polygon (N, 2) with a soft edge: (size, size) float32, 0..1."""
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], [1.0])
    return cv2.GaussianBlur(mask, (0, 0), softness)


def _matte(person: np.ndarray, head: HeadModel, outline: np.ndarray) -> np.ndarray:
    """Where pixels move with the head: the person inside the head's outermost ring, and the face itself for certain."""
    size = person.shape[0]
    rings = head.texture[head.seen > 0][MESH:].reshape(-1, len(OVAL), 2)
    around = _polygon(rings[-1], size, size / 128)
    return np.maximum(around * person, _polygon(outline, size, size / 256))


def _neck(person: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Where the head hides the neck: as wide as the person below the chin, up to the nose; (size, size) float32."""
    size = person.shape[0]
    chin, top = outline[len(OVAL) // 2], outline[0]
    axis = chin - top
    across = np.array([axis[1], -axis[0]]) / np.linalg.norm(axis)
    limit = 0.60 * np.linalg.norm(outline[9] - outline[27])
    below = chin + 0.08 * axis
    reach = np.arange(0, limit, 2.0)
    half = []
    for direction in (across, -across):
        line = np.round(below + reach[:, None] * direction).astype(int).clip(0, size - 1)
        outside = np.flatnonzero(person[line[:, 1], line[:, 0]] < 0.5)
        half.append(reach[outside[0]] if outside.size else limit)
    low, high = chin + 0.35 * axis, chin - 0.42 * axis
    corners = [low + across * half[0], low - across * half[1], high - across * half[1], high + across * half[0]]
    return _polygon(np.array(corners), size, size / 128)


def _plate(
    image: np.ndarray, inside: np.ndarray, person: np.ndarray, matte: np.ndarray, neck: np.ndarray
) -> np.ndarray:
    """The photo without its head: background behind it, and the neck continued upwards where the chin hid it."""
    taken = cv2.dilate((matte > 0.04).astype(np.float32), np.ones((21, 21), np.uint8))
    chin = int(np.flatnonzero((matte > 0.5).any(1)).max(initial=0))
    taken[:chin][inside[:chin] < 0.5] = 1.0
    free = (1 - taken) * (inside > 0.5)
    background = pyramid_fill(image, free * (person < 0.1))
    body = pyramid_fill(image, free * (person > 0.9) * (neck > 0.05))
    behind = np.where((free * (neck > 0.5)).any(), neck, 0.0)[..., None]
    filled = body * behind + background * (1 - behind)
    soft = cv2.GaussianBlur(taken, (0, 0), 2)[..., None]
    return np.clip(np.round(filled * soft + image * (1 - soft)), 0, 255).astype(np.uint8)


def set_stage(photo: Photo, face: Face, mesh: FaceMesh) -> Stage:
    """Frames `photo` about `face` and parts head from background; raises ValueError for a face without landmarks."""
    if face.landmarks is None or face.pose is None:
        raise ValueError("the face has no landmarks; expected one that the landmark network can read")
    image, inside, landmarks = _frame(photo, face.landmarks)
    outline = landmarks[list(OVAL), :2]
    person = mesh.person(image)
    head = build_head(landmarks, face.pose, person, inside)
    matte = _matte(person, head, outline)
    plate = _plate(image, inside, person, matte, _neck(person, outline))
    own = cv2.erode((matte > 0.9).astype(np.float32), np.ones((7, 7), np.uint8))
    layer = np.where((own > 0)[..., None], image, pyramid_fill(image, own))
    untouched = np.where(matte > 0.04, 0, inside).astype(np.float32)
    return Stage(image, layer, plate, matte, inside, untouched, head)


def turn(stage: Stage, pose: Pose) -> View:
    """The staged head at `pose`. Vectorised but for the painting of some thousand triangles."""
    head = stage.head
    posed = head.vertices @ rotation(pose).T
    flat = project(posed, head.distance) + head.centre[:2]
    index, where = _look_up(head, posed, flat)
    rows, columns = _window((index >= 0) | (stage.matte > 0))
    index, where = index[rows, columns], where[rows, columns]

    x, y, trust = (np.ascontiguousarray(where[..., channel]) for channel in range(3))
    covered = (index >= 0).astype(np.float32)
    layer = cv2.remap(stage.layer, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    known = cv2.remap(np.dstack([stage.matte, stage.inside]), x, y, cv2.INTER_LINEAR)
    alpha = cv2.GaussianBlur(known[..., 0] * covered, (0, 0), 0.8)
    image, valid = stage.plate.copy(), stage.untouched.copy()
    image[rows, columns] = cv2.blendLinear(layer, stage.plate[rows, columns], alpha, 1 - alpha)
    own = cv2.GaussianBlur(trust, (0, 0), 3) * covered * known[..., 1]
    valid[rows, columns] = np.clip(alpha * own + (1 - alpha) * stage.untouched[rows, columns], 0, 1)

    iris = head.iris @ rotation(pose).T
    iris_flat = project(iris, head.distance) + head.centre[:2]
    points = np.concatenate([flat[:MESH], iris_flat]), np.concatenate([posed[:MESH, 2], iris[:, 2]])
    return View(pose, image, valid, valid < UNSEEN, np.column_stack(points).astype(np.float32))


def _look_up(head: HeadModel, posed: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which triangle each pixel shows, and per pixel where in the source to look and how far to trust it.

    posed: (V, 3) vertices in camera space, flat: (V, 2) their pixels. Returns (SIZE, SIZE) int32 and (.., 3) float32.
    """
    corners = flat[head.triangles]
    area = facing(corners)
    front = area * head.outside > 1e-3
    triangles = head.triangles[front]
    corners, source = corners[front], head.texture[triangles]
    index = triangle_index(corners, posed[triangles, 2].mean(1), SIZE)
    stretch = np.sqrt(np.abs(area[front]) / np.maximum(np.abs(facing(source)), 1e-3))
    trust = np.clip((MAX_STRETCH - stretch) / (MAX_STRETCH / 2), 0, 1)[:, None] * head.seen[triangles]
    return index, interpolate(index, affine_maps(corners, np.dstack([source, trust])))


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold all of `mask` (H, W) bool; everything if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
