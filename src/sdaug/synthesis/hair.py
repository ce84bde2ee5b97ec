"""Hair: where the person's outline runs about the head, the bald head widened to it, and the back of the head's colour."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_RAYS = 72
_MARGIN = 1.03
"""The head ends this much beyond the person's outline, so that the outline's own soft edge is what is seen."""

_MOST = 1.1
"""Hair further out than this many face heights beyond the bald head does not turn with it."""

Pixels = Callable[[np.ndarray], np.ndarray]
"""Points (N, 3) of the head's frame to pixels (N, 2) of the source."""


@dataclass(frozen=True)
class Outline:
    """Radii about the head's axis in _RAYS directions, in the head's frame and unit.

    middle: (2,). face: (R,) the face's outline. bald: (R,) the bald head's. person: (R,) the person's, hair and all.
    """

    middle: np.ndarray
    face: np.ndarray
    bald: np.ndarray
    person: np.ndarray

    def at(self, radii: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """`radii` (R,) in the directions `angle` (N,), radians."""
        return np.interp(angle, _ANGLES, radii, period=2 * np.pi)


_ANGLES = (np.arange(_RAYS) + 0.5) * 2 * np.pi / _RAYS
_DIRECTIONS = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])


def find_outline(
    vertices: np.ndarray, oval: np.ndarray, skull: np.ndarray, person: np.ndarray, inside: np.ndarray, pixels: Pixels
) -> Outline:
    """The outlines of face, bald head and person.

    vertices: (V, 3), those of the bald head marked in skull (V,) bool. oval: (K, 3). person, inside: (H, W) float32,
    0..1. Where the photo ends the bald head's own outline is kept.
    """
    middle = np.array([0.0, oval[:, 1].min() * 0.35])
    face = _largest(*_polar(oval[:, :2] - middle))
    bald = np.maximum(_largest(*_polar(vertices[skull, :2] - middle)), face * 1.02)
    most = _MOST * float(np.ptp(oval[:, 1]))
    steps = np.arange(0.0, float((bald - face).max()) + most, 2.0)
    reach = face[:, None] + steps
    points = middle + reach[..., None] * _DIRECTIONS[:, None]
    spots = np.round(pixels(np.column_stack([points.reshape(-1, 2), np.zeros(reach.size)]))).astype(int)
    spots = spots.reshape(points.shape)
    rows, columns = spots[..., 1].clip(0, person.shape[0] - 1), spots[..., 0].clip(0, person.shape[1] - 1)
    known = (inside[rows, columns] > 0.5) & (spots == np.stack([columns, rows], -1)).all(-1)
    belongs = np.where(known, person[rows, columns] > 0.5, reach <= bald[:, None]) & (reach <= (bald + most)[:, None])
    ends = np.where(belongs.all(1), reach[:, -1], np.take_along_axis(reach, belongs.argmin(1)[:, None], 1)[:, 0])
    return Outline(middle, face, bald, np.median([np.roll(ends, k) for k in range(-2, 3)], axis=0))


def widened(vertices: np.ndarray, outline: Outline, depth: float, height: float, follows: np.ndarray) -> np.ndarray:
    """`vertices` (V, 3) pushed outwards (or in) along rays about the head's axis until they meet the person's outline.

    The face stays: nothing within its outline and nearer than `depth` moves; necks stay by `follows` (V,).
    """
    angle, radius = _polar(vertices[:, :2] - outline.middle)
    # below the ears the outline is the neck's, the shoulders' or long hair's: the head keeps its own
    down = np.clip(_DIRECTIONS[:, 1] / 0.5, 0, 1)
    share = (outline.person * _MARGIN / outline.bald) * (1 - down) + down
    start, end = outline.at(outline.face, angle), outline.at(outline.bald, angle)
    beyond = np.clip((radius - start) / np.maximum(end - start, 1e-6), 0, 1)
    behind = np.clip((vertices[:, 2] - depth) / (0.3 * height), 0, 1)
    factor = 1 + (outline.at(share, angle) - 1) * np.maximum(beyond, behind) * follows
    moved = vertices.copy()
    moved[:, :2] = outline.middle + (vertices[:, :2] - outline.middle) * factor[:, None]
    thicker = np.clip(np.median(share[_DIRECTIONS[:, 1] < -0.3]) - 1, 0, 0.15)
    moved[:, 2] += np.maximum(vertices[:, 2] - depth, 0) * thicker * follows
    return moved


def rim(vertices: np.ndarray, outline: Outline) -> np.ndarray:
    """Just inside the person's outline, the points (V, 3) in the same directions as `vertices`, but above the ears.

    What is seen there, hair or skin, is what the back of the head most likely shows too.
    """
    offset = vertices[:, :2] - outline.middle
    direction = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-6)
    direction[:, 1] = np.minimum(direction[:, 1], -0.45)
    angle, _ = _polar(direction)
    radius = 0.95 * outline.at(outline.person, angle)
    flat = outline.middle + radius[:, None] * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return np.column_stack([flat, np.zeros(len(flat))])


def _polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi), np.linalg.norm(points, axis=1)


def _largest(angle: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The largest radius in each of the _RAYS directions, (R,); gaps are bridged."""
    bins = (angle / (2 * np.pi) * _RAYS).astype(int) % _RAYS
    largest = np.zeros(_RAYS)
    np.maximum.at(largest, bins, radius)
    known = np.flatnonzero(largest)
    return np.interp(np.arange(_RAYS), known, largest[known], period=_RAYS)
