"""Broad colours of the diffused picture brought to the photo's, so that what is filled does not show by its tint."""

import cv2
import numpy as np

CELL = 16
"""Pixels a side over which colours are compared; detail finer than this is left alone."""


def in_tune(diffused: np.ndarray, photo: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """`diffused` (S, S, 3) uint8 RGB plus its smooth difference from `photo`, likewise, where that stays.

    Every VAE shifts colours, a small one most; where the photo's own pixels are put back the shift would be a seam.
    What it is there is known, and continued into what the photo does not show.
    stays: (S, S) float32 0..1 from `strength.kept`. Unchanged where nothing stays.
    """
    if not stays.any():
        return diffused
    side = max(1, len(stays) // CELL)
    difference = (photo.astype(np.float32) - diffused) * stays[..., None]
    total, weight = _smaller(difference, side, side), _smaller(stays, side, side)
    shift = cv2.resize(_spread(total, weight), stays.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(np.round(diffused + shift), 0, 255).astype(np.uint8)


def _spread(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(h, w, 3) `total` / `weight`, filled from coarser levels where there is little weight (push-pull, Gortler et al.
    1996, The Lumigraph, section 3.4)."""
    own = total / np.maximum(weight, 1e-6)[..., None]
    if min(weight.shape) == 1:
        return own
    # Not pyrDown and pyrUp: they put a level's cells half a cell beside the next one's, which adds up.
    half = weight.shape[0] // 2, weight.shape[1] // 2
    coarse = _spread(_smaller(total, *half), _smaller(weight, *half))
    around = cv2.resize(coarse, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
    share = np.clip(weight, 0, 1)[..., None]
    return share * own + (1 - share) * around


def _smaller(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
