"""What a view has to beat: pictures of the frontal photo whose head is not turned."""

from collections.abc import Callable

import cv2
import numpy as np

from sdaug.types import Pose

Maker = Callable[[Pose], np.ndarray]

IN_PLANE_SHARE = 1 / 3
"""Degrees of picture rotation a degree of yaw."""


def baselines(pixels: np.ndarray) -> dict[str, Maker]:
    """The frontal photo (H, W, 3) uint8 RGB itself, mirrored, and rotated in its plane, each as a maker of a pose."""
    height, width = pixels.shape[:2]
    mirrored = np.ascontiguousarray(pixels[:, ::-1])

    def rotated(pose: Pose) -> np.ndarray:
        place = cv2.getRotationMatrix2D((width / 2, height / 2), -pose.yaw_deg * IN_PLANE_SHARE, 1.0)
        return cv2.warpAffine(pixels, place, (width, height), borderMode=cv2.BORDER_REPLICATE)

    return {"input": lambda pose: pixels, "mirrored": lambda pose: mirrored, "in_plane": rotated}
