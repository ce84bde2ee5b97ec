"""Hair: where the person's outline runs about the head, and what the back of the head then looks like."""

from dataclasses import dataclass

import numpy as np

_RAYS = 72
_MARGIN = 1.03
"""The head ends this much beyond the person's outline, so that the outline's own soft edge is what is seen."""

_MOST = 1.1
"""Hair further out than this many face heights beyond the bald head does not turn with it."""


@dataclass(frozen=True)
class Outline:
    """Radii about the middle of the head in _RAYS directions of the source image, pixels.

    middle: (2,). bald: (R,) the bald head's. person: (R,) the person's, hair and all. down: (R,) 0..1, how far a
    direction points below the ears, where the outline is the neck's, the shoulders' or long hair's.
    """

    middle: np.ndarray
    bald: np.ndarray
    person: np.ndarray
    down: np.ndarray

    def at(self, radii: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """`radii` (R,) in the directions `angle` (N,), radians."""
        return np.interp(angle, _ANGLES, radii, period=2 * np.pi)


_ANGLES = (np.arange(_RAYS) + 0.5) * 2 * np.pi / _RAYS
_DIRECTIONS = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])


def find_outline(
    skull: np.ndarray, face: np.ndarray, up: np.ndarray, person: np.ndarray, inside: np.ndarray
) -> Outline:
    """The outlines of bald head and person about a point above the middle of the face.

    skull: (N, 2) pixels of the bald head's vertices. face: (K, 2) of the face's outline, its top first. up: (2,) unit,
    towards the top of the head. person, inside: (H, W) float32, 0..1. Where the photo ends the bald head is kept.
    """
    height = float(np.linalg.norm(face[0] - face[len(face) // 2]))
    middle = face.mean(0) + 0.1 * height * up
    within = _largest(*_polar(face - middle))
    bald = np.maximum(_largest(*_polar(skull - middle)), within * 1.02)
    steps = np.arange(0.0, float((bald - within).max()) + _MOST * height, 2.0)
    reach = within[:, None] + steps
    spots = np.round(middle + reach[..., None] * _DIRECTIONS[:, None]).astype(int)
    rows, columns = spots[..., 1].clip(0, person.shape[0] - 1), spots[..., 0].clip(0, person.shape[1] - 1)
    known = (inside[rows, columns] > 0.5) & (spots == np.stack([columns, rows], -1)).all(-1)
    belongs = np.where(known, person[rows, columns] > 0.5, reach <= bald[:, None])
    belongs &= reach <= (bald + _MOST * height)[:, None]
    ends = np.where(belongs.all(1), reach[:, -1], np.take_along_axis(reach, belongs.argmin(1)[:, None], 1)[:, 0])
    ends = np.median([np.roll(ends, k) for k in range(-2, 3)], axis=0)
    return Outline(middle, bald, ends, np.clip(-_DIRECTIONS @ up / 0.5, 0, 1))


def widening(flat: np.ndarray, outline: Outline) -> np.ndarray:
    """By what factor (V,) the bald head's pixels `flat` (V, 2) must leave the middle to meet the person's outline."""
    share = outline.person * _MARGIN / outline.bald
    return outline.at(share * (1 - outline.down) + outline.down, _polar(flat - outline.middle)[0])


def rim(flat: np.ndarray, up: np.ndarray, outline: Outline) -> np.ndarray:
    """Inside the person's outline, pixels (V, 2) in the same directions as `flat` (V, 2), but above the ears.

    What is seen there, hair or skin, is what the back of the head most likely shows too: the further a vertex lies from
    the outline, the further inside is its pixel.
    """
    offset = flat - outline.middle
    length = np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-6)
    inwards = np.clip(1 - length[:, 0] / outline.at(outline.person, _polar(offset)[0]), 0, 1)
    rise = offset / length @ up
    direction = offset / length + (np.maximum(rise, 0.45) - rise)[:, None] * up
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = (0.92 - 0.2 * inwards) * outline.at(outline.person, _polar(direction)[0])
    return outline.middle + radius[:, None] * direction


def _polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi), np.linalg.norm(points, axis=1)


def _largest(angle: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The largest radius in each of the _RAYS directions, (R,); gaps are bridged."""
    bins = (angle / (2 * np.pi) * _RAYS).astype(int) % _RAYS
    largest = np.zeros(_RAYS)
    np.maximum.at(largest, bins, radius)
    known = np.flatnonzero(largest)
    return np.interp(np.arange(_RAYS), known, largest[known], period=_RAYS)
