"""How far each pixel is noised: what the photo shows a little, what nobody saw nearly all the way."""

import math

import cv2
import numpy as np

MARGIN = 12
"""Pixels of 512 around a hole that are invented with it, so that its edge is not traced; as in inpainting."""

FEATHER = 4.0
"""Standard deviation in pixels of 512 of the transition."""

CELL = 8
"""Pixels a side that one latent stands for."""


def kept(valid: np.ndarray) -> np.ndarray:
    """(S, S) float32 0..1, how much of the photo's own pixel stays: never more than `valid` (S, S) float32 0..1, less
    near a hole, smooth."""
    scale = len(valid) / 512
    margin = max(1, round(MARGIN * scale))
    # Padded: the picture's border is no hole.
    wide = cv2.copyMakeBorder(valid, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    shrunk = cv2.erode(wide, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * (margin // 2) + 1,) * 2))
    smooth = cv2.GaussianBlur(shrunk, (0, 0), FEATHER * scale)[margin:-margin, margin:-margin]
    return np.minimum(smooth, valid)


def strength_map(stays: np.ndarray, strength: float, hole_strength: float) -> np.ndarray:
    """(S/8, S/8) float64: `strength` where everything stays, `hole_strength` where nothing does, by area between.

    stays: (S, S) float32 0..1 from `kept`.
    """
    side = len(stays) // CELL
    share = stays.reshape(side, CELL, side, CELL).mean((1, 3)).astype(np.float64)
    return hole_strength + (strength - hole_strength) * share


def first_steps(strengths: np.ndarray, num_inference_steps: int) -> np.ndarray:
    """The step, of 0..n-1, from which each place is denoised; n = never. int, shaped as `strengths` (float, 0..1).

    A place of strength s takes part in the last int(n s) steps, as a whole image of that strength does in diffusers'
    img2img, and in the last one at least where s > 0. Where steps differ this is differential diffusion (Levin and
    Fried 2023, arXiv 2306.00950): until its step a place is held at the noised photo.

    >>> first_steps(np.array([0.0, 0.001, 0.45, 1.0]), 20)
    array([20, 19, 11,  0])
    """
    n = num_inference_steps
    # A strength that was mixed from two may lie a hair below the one it stands for, and must not lose a step to that.
    begin = n - np.floor(n * strengths + 1e-4).astype(int)
    return np.where(strengths > 0, np.minimum(begin, n - 1), n)


def number_of_steps(strength: float, num_inference_steps: int) -> int:
    """How many of the steps an image of one strength takes.

    >>> [number_of_steps(0.45, 20), number_of_steps(0.3, 1)]
    [9, 1]
    """
    return max(1, math.floor(num_inference_steps * strength + 1e-4))
