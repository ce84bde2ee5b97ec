"""Painting a textured triangle mesh: hidden surfaces by depth order, one lookup per pixel."""

import cv2
import numpy as np

_SHIFT = 4
"""Fractional bits of OpenCV's fixed-point vertices."""


def facing(corners: np.ndarray) -> np.ndarray:
    """Twice the signed area of projected triangles (T, 3, 2); its sign tells front from back."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def triangle_index(corners: np.ndarray, depth: np.ndarray, size: int) -> np.ndarray:
    """Which triangle is seen at each pixel: (size, size) int32, -1 = none.

    corners: (T, 3, 2) pixels. depth: (T,) mean distance; nearer triangles are painted over farther ones.
    """
    canvas = np.full((size, size), -1, np.int32)
    fixed = np.round(corners * (1 << _SHIFT)).astype(np.int32)
    order = np.argsort(-depth, kind="stable")
    for index, corner in zip(order.tolist(), fixed[order], strict=True):
        cv2.fillConvexPoly(canvas, corner, index, cv2.LINE_8, _SHIFT)
    return canvas


def affine_maps(corners: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Per triangle the affine function of (x, y, 1) with `values` (T, 3, C) at its `corners` (T, 3, 2): (T, C, 3).

    Triangles must not be degenerate.
    """
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    u, v = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    area = facing(corners)[:, None]
    along_x = (u * b[:, 1:] - v * a[:, 1:]) / area
    along_y = (v * a[:, :1] - u * b[:, :1]) / area
    constant = values[:, 0] - along_x * corners[:, 0, :1] - along_y * corners[:, 0, 1:]
    return np.stack([along_x, along_y, constant], axis=2)


def interpolate(index: np.ndarray, maps: np.ndarray, corner: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The triangles' affine functions `maps` (T, C, 3) evaluated where `index` (H, W) shows them: (C, H, W) float32.

    corner: row and column of the first pixel. Zero where no triangle is seen.
    """
    table = np.zeros((*maps.shape[1:], len(maps) + 1), np.float32)  # the last entry is what index -1 finds
    table[..., :-1] = np.moveaxis(maps, 0, 2)
    y = np.arange(corner[0], corner[0] + index.shape[0], dtype=np.float32)[:, None]
    x = np.arange(corner[1], corner[1] + index.shape[1], dtype=np.float32)
    shown = index.astype(np.intp)
    values = np.empty((len(table), *index.shape), np.float32)
    for value, (along_x, along_y, constant) in zip(values, table, strict=True):
        along_x.take(shown, out=value, mode="wrap")
        value *= x
        step = along_y.take(shown, mode="wrap")
        step *= y
        value += step
        value += constant.take(shown, out=step, mode="wrap")
    return values
