"""The far side of a face that was photographed turned, borrowed from its near side by symmetry."""

import numpy as np

from sdaug.face.pose import MESH
from sdaug.synthesis.skin import spread
from sdaug.synthesis.template import mirrored, template

GAIN_LIMITS = (0.6, 1.6)
"""Beyond these ratios of the two sides' colours the light comes from one side, and nothing is borrowed."""

_EYES = ((-0.36, 0.36), (-0.22, 0.12))
"""Across and down, in the template's frame: here nothing is borrowed, eyes look one way and glasses reflect."""

_PAIRS = 12
"""At least so many places must be seen on both sides for their colours to be compared."""


def borrowed(seen: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Which vertices (V,) bool show their mirror image: not seen themselves, while the other side is.

    seen: (V,) float32, 0..1. covered: (V,) bool, hair and neck: nobody's mirror image.
    """
    across, down, _ = template().points.T
    eyes = (across > _EYES[0][0]) & (across < _EYES[0][1]) & (down > _EYES[1][0]) & (down < _EYES[1][1])
    eyes &= np.arange(len(seen)) < MESH
    return (seen < 0.3) & (seen[mirrored()] > 0.9) & ~covered & ~eyes


def side_gain(colours: np.ndarray, seen: np.ndarray, triangles: np.ndarray) -> np.ndarray | None:
    """What to multiply each vertex's colour by to look lit like its mirror image, (V, 3); None if that cannot be said.

    colours: (V, 3), 0..255. seen: (V,), 0..1. triangles: (T, 3). Compared where both sides are seen, and carried over
    the mesh from there, so that nothing jumps where borrowed skin meets the person's own.
    """
    partner = mirrored()
    pairs = (seen > 0.9) & (seen[partner] > 0.9) & (np.arange(len(seen)) < MESH)
    if pairs.sum() < _PAIRS:
        return None
    ratio = (colours[partner] + 8.0) / (colours + 8.0)
    usual = np.median(np.abs(np.log(ratio[pairs])), axis=0)
    if usual.max() > np.log(GAIN_LIMITS[1]):
        return None
    return np.clip(spread(ratio, pairs, triangles, template().seam), *GAIN_LIMITS)
