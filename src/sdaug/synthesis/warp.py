"""Turning the photo: the head's own pixels re-rendered at a new pose over a background that stays where it is."""

from dataclasses import dataclass

import cv2
import numpy as np

from sdaug.face.pose import MESH
from sdaug.face.rotation import rotation
from sdaug.synthesis.head import Painted, paint, project
from sdaug.synthesis.raster import affine_maps, facing, interpolate
from sdaug.synthesis.stage import Stage
from sdaug.synthesis.texture import FINER
from sdaug.types import Pose, View

MAX_STRETCH = 12.0
"""A source pixel drawn over this many pixels is not shown, over half of it fully: smeared, it is still the person's."""

VALID_STRETCH = 4.0
"""From this stretch on a pixel is not valid any more, up to half of it fully."""

UNSEEN = 0.25
"""Below this validity a pixel belongs to the hole."""


def turn(stage: Stage, pose: Pose) -> View:
    """The staged head at `pose`. Vectorised but for the painting of some thousand triangles."""
    head = stage.head
    painted = paint(head, pose, len(stage.image))
    rows, columns = _window((painted.index >= 0) | (stage.matte > 0))
    place = _places(stage, painted, rows, columns)
    covered = (painted.index[rows, columns] >= 0).astype(np.float32)

    layer = cv2.remap(stage.texture.layer, *place.finer, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    own = cv2.remap(stage.texture.matte, *place.source, cv2.INTER_LINEAR)
    shown = cv2.blendLinear(layer, place.colour, place.trust, 1 - place.trust)
    around = cv2.resize(cv2.GaussianBlur(covered[::2, ::2], (0, 0), 2), covered.shape[::-1])
    edge = own * place.valid + place.opaque * (1 - place.valid)
    solid = place.opaque * np.clip((around - 0.9) * 10, 0, 1)
    # the head's outline is made of triangles; their corners are rounded off
    alpha = cv2.GaussianBlur(np.maximum(edge, solid) * covered * np.clip((around - 0.35) / 0.3, 0, 1), (0, 0), 0.8)
    image, valid = stage.plate.copy(), stage.untouched.copy()
    image[rows, columns] = cv2.blendLinear(shown, stage.plate[rows, columns], alpha, 1 - alpha)
    valid[rows, columns] = alpha * (place.valid * covered) + (1 - alpha) * stage.untouched[rows, columns]

    iris = head.iris @ rotation(pose).T
    iris_flat = project(iris, head.distance) + head.centre[:2]
    flat, depth = (
        np.concatenate([painted.flat[:MESH], iris_flat]),
        np.concatenate([painted.posed[:MESH, 2], iris[:, 2]]),
    )
    return View(pose, image, valid, valid < UNSEEN, np.column_stack([flat, depth]).astype(np.float32))


@dataclass(frozen=True)
class _Places:
    """Per pixel of a window (h, w): where in the source it lies (x, y), and how far that is to be used.

    finer: the same place in `Texture.layer`, which is FINER times as large.

    trust: 0..1, shown from the source rather than in `colour` (h, w, 3) uint8. valid: 0..1, the person's own pixel.
    opaque: 0..1, hides what is behind even where the source does not show it. All float32.
    """

    source: tuple[np.ndarray, np.ndarray]
    finer: tuple[np.ndarray, np.ndarray]
    trust: np.ndarray
    valid: np.ndarray
    opaque: np.ndarray
    colour: np.ndarray


def _places(stage: Stage, painted: Painted, rows: slice, columns: slice) -> _Places:
    """`_Places` of the window at `rows` and `columns`; what varies slowly is worked out at fewer pixels."""
    front, index = painted.front, painted.index[rows, columns]
    triangles = stage.head.triangles[front]
    corners, source = painted.flat[triangles], stage.texture.corners[front]
    stretch = facing(corners) / np.maximum(np.abs(facing(source)), 1e-3)
    trust, valid = (
        np.clip((most - stretch) / (most / 2), 0, 1)[:, None] * stage.texture.seen[triangles]
        for most in (MAX_STRETCH, VALID_STRETCH)
    )
    trust[stage.texture.guessed[front]] = 1
    opaque = np.clip((stage.head.follows - 0.3) / 0.3, 0, 1)[triangles]
    soft = np.dstack([trust, valid, opaque])
    maps = affine_maps(corners, np.concatenate([source, soft, stage.texture.colour[triangles]], 2))

    x, y = interpolate(index, maps[:, :2], (rows.start, columns.start))
    trust, valid, opaque = _coarsely(index, maps[:, 2:5], 2, (rows.start, columns.start)).clip(0, 1)
    colour = _coarsely(index, maps[:, 5:], 4, (rows.start, columns.start)).clip(0, 255)
    size = x.shape[::-1]
    return _Places(
        source=(x, y),
        finer=(x * FINER + (FINER - 1) / 2, y * FINER + (FINER - 1) / 2),
        trust=cv2.resize(cv2.GaussianBlur(trust, (0, 0), 1.5), size),
        valid=cv2.resize(cv2.GaussianBlur(valid, (0, 0), 1.5), size),
        opaque=cv2.resize(opaque, size),
        colour=cv2.resize(np.dstack(list(colour)).astype(np.uint8), size),
    )


def _coarsely(index: np.ndarray, maps: np.ndarray, step: int, corner: tuple[int, int]) -> np.ndarray:
    """`interpolate` at every `step`-th pixel: (C, H / step, W / step) float32."""
    middle = step // 2
    scaled = maps * step
    scaled[..., 2] = maps[..., 2] + middle * (maps[..., 0] + maps[..., 1])
    return interpolate(index[middle::step, middle::step], scaled, (corner[0] // step, corner[1] // step))


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns, in whole fours, that hold all of `mask` (H, W) bool; everything if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    return tuple(slice(lines[0] // 4 * 4, -(-(lines[-1] + 1) // 4) * 4) for lines in (rows, columns))  # type: ignore[return-value]
