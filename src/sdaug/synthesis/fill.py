"""Filling what was never seen, without a network."""

import cv2
import numpy as np


def pyramid_fill(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`image` (H, W, C) with unknown pixels filled smoothly from the known ones around them.

    known: (H, W) float32, 0..1. Push-pull of Gortler et al. (1996), The Lumigraph, section 3.4: average known pixels
    down a pyramid, then fill each level from the coarser one. A wholly unknown image comes back grey.
    """
    if not known.any():
        return np.full_like(image, 127)
    weights: list[np.ndarray] = [known.astype(np.float32)]
    colours: list[np.ndarray] = [image.astype(np.float32) * weights[0][..., None]]
    while min(weights[-1].shape) > 2:
        weights.append(np.asarray(cv2.pyrDown(weights[-1])))
        colours.append(np.asarray(cv2.pyrDown(colours[-1])))
    filled = colours[-1] / np.maximum(weights[-1], 1e-6)[..., None]
    for weight, colour in zip(weights[-2::-1], colours[-2::-1], strict=True):
        coarse = cv2.pyrUp(filled, dstsize=weight.shape[::-1])
        own = np.clip(weight * 2, 0, 1)[..., None]
        filled = own * colour / np.maximum(weight, 1e-6)[..., None] + (1 - own) * coarse
    return np.clip(np.round(filled), 0, 255).astype(np.uint8)


def rough_fill(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`pyramid_fill` at half the size, enlarged again: for what lies far from anything known and is smooth anyway."""
    height, width = known.shape
    half = (width // 2, height // 2)
    share = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    only_known = cv2.resize(image * known.astype(image.dtype)[..., None], half, interpolation=cv2.INTER_AREA)
    mean = np.clip(only_known / np.maximum(share, 1e-3)[..., None], 0, 255)
    return cv2.resize(pyramid_fill(mean.astype(np.uint8), share), (width, height))
