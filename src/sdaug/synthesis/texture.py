"""Where the head's surface finds its colours: in the photo, on its other side, in its hair, or from its neighbours."""

from dataclasses import dataclass

import cv2
import numpy as np

from sdaug.face.pose import MESH
from sdaug.synthesis.fill import rough_fill
from sdaug.synthesis.head import HeadModel, Painted
from sdaug.synthesis.mirror import borrowed, side_gain
from sdaug.synthesis.raster import affine_maps, interpolate
from sdaug.synthesis.skin import spread
from sdaug.synthesis.template import mirrored, template

FINER = 2
"""The head's colours are kept at this scale: enlarged once, well, they may be looked up simply in every view."""

_TOLERANCE = 0.1
"""A vertex this far (in face widths) behind what the source shows at its pixel is still that surface."""


@dataclass(frozen=True)
class Texture:
    """Colours of a head with V vertices and T triangles, read in a source of side S.

    corners: (T, 3, 2) float32, where in `matte` the corners of each triangle find their colours. layer: (FINER S,
    2 FINER S, 3) uint8, the head's own colours, continued beyond its outline so that no background clings to it; its
    right half is lit like the far side of the face. matte: (S, 2 S) float32, how far a pixel of the left half is the
    head, 1 in the right half. guessed: (T,) bool, not seen, but `corners` leads to what most likely looks the same: the
    other side of the face, or the hair. seen: (V,) float32, 1 = the source shows a vertex. colour: (V, 3) float32, a
    vertex's colour, guessed where it is not seen.
    """

    corners: np.ndarray
    layer: np.ndarray
    matte: np.ndarray
    guessed: np.ndarray
    seen: np.ndarray
    colour: np.ndarray


def find_texture(
    head: HeadModel, painted: Painted, image: np.ndarray, matte: np.ndarray, inside: np.ndarray
) -> Texture:
    """The texture of `head`, which the source `image` (S, S, 3) uint8 RGB shows as it is `painted`.

    matte, inside: (S, S) float32, 1 where a pixel is the head, and where it lies inside the photo.
    """
    size = len(image)
    flat, triangles = painted.flat, head.triangles[painted.front]
    own = cv2.erode((matte > 0.9).astype(np.float32), np.ones((7, 7), np.uint8))
    layer = np.where((own > 0)[..., None], image, rough_fill(image, own))

    seen, known = _seen(head, painted, own, inside)
    covered = np.isfinite(head.rim[:, 0])
    back = covered & ~known
    seen[back] = 0
    places = np.where(back[:, None], head.rim, flat)
    colour = _at(cv2.resize(layer, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), (places - 1.5) / 4)
    corners, halves = places[head.triangles], [layer, layer]
    guessed = back[head.triangles].all(1)

    borrow = borrowed(seen, covered | (head.follows < 0.98))
    gain = side_gain(colour, seen, head.triangles) if borrow.any() else None
    if gain is not None:
        partner = mirrored()[head.triangles]
        from_other_side = borrow[head.triangles].any(1) & (seen[partner] > 0.5).all(1)
        corners[from_other_side] = places[partner[from_other_side]] + [size, 0]
        guessed |= from_other_side
        colour[borrow] = (colour * gain)[mirrored()[borrow]]
        known |= borrow
        coarse = painted.index[::4, ::4]
        lit = np.moveaxis(interpolate(coarse, affine_maps(flat[triangles] / 4, gain[triangles])), 0, 2)
        lit = cv2.GaussianBlur(np.where(coarse[..., None] >= 0, lit, 1.0).astype(np.float32), (0, 0), 1.5)
        halves[1] = cv2.multiply(layer, cv2.resize(lit, (size, size)), dtype=cv2.CV_8U)
    colour = spread(colour, known | back, head.triangles, template().seam)
    return Texture(
        corners=corners.astype(np.float32),
        layer=np.hstack([cv2.resize(half, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_CUBIC) for half in halves]),
        matte=np.hstack([matte, np.ones_like(matte)]),
        guessed=guessed,
        seen=seen,
        colour=colour.astype(np.float32),
    )


def _seen(head: HeadModel, painted: Painted, own: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the source shows each vertex, (V,) float32, and whether its colour is there to be read, (V,) bool."""
    posed, index = painted.posed, painted.index
    spots = np.round(painted.flat).astype(int)
    within = ((spots >= 0) & (spots < len(index))).all(1)
    rows, columns = spots[:, 1].clip(0, len(index) - 1), spots[:, 0].clip(0, len(index) - 1)
    nearest = index[rows, columns]
    surface = posed[head.triangles[painted.front], 2].mean(1)[nearest]
    unhidden = within & (nearest >= 0) & (posed[:, 2] < surface + _TOLERANCE * head.width)

    corners = posed[head.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(posed)
    for corner in range(3):
        np.add.at(total, head.triangles[:, corner], normal)
    towards = posed + [0, 0, head.distance]
    cosine = (total * towards).sum(1) / np.maximum(
        np.linalg.norm(total, axis=1) * np.linalg.norm(towards, axis=1), 1e-9
    )
    seen = unhidden * np.clip(cosine / 0.08, 0, 1)
    seen[:MESH] = np.clip((cosine[:MESH] + 0.1) / 0.15, 0, 1)
    seen *= within & (inside[rows, columns] > 0.5)
    known = unhidden & (cosine > 0.35) & (own[rows, columns] > 0.5) & (inside[rows, columns] > 0.5)
    return seen.astype(np.float32), known


def _at(image: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """The pixels of `image` (H, W, C) nearest to `spots` (N, 2): (N, C) float64."""
    columns, rows = np.round(spots).astype(int).T
    height, width = image.shape[:2]
    return image[rows.clip(0, height - 1), columns.clip(0, width - 1)].astype(np.float64)
