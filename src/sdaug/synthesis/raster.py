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
    for index in np.argsort(-depth, kind="stable"):
        cv2.fillConvexPoly(canvas, fixed[index], [float(index)], cv2.LINE_8, _SHIFT)
    return canvas


def affine_maps(corners: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Per triangle the affine function of (x, y, 1) with `values` (T, 3, C) at its `corners` (T, 3, 2): (T, C, 3)."""
    ones = np.ones((*corners.shape[:2], 1))
    system = np.concatenate([corners, ones], axis=2)
    return np.linalg.solve(system, values).transpose(0, 2, 1)


def interpolate(index: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """The triangles' affine functions `maps` (T, C, 3) evaluated where `index` (H, W) shows them: (H, W, C) float32."""
    height, width = index.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    chosen = maps.astype(np.float32)[np.maximum(index, 0)]
    return chosen[..., 0] * x[..., None] + chosen[..., 1] * y[..., None] + chosen[..., 2]
