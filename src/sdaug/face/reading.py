"""One pose from what can be read of a face: its landmarks up to half profile, a detector's five points beyond."""

import numpy as np

from sdaug.face.pnp import point_pose
from sdaug.face.pose import estimate_pose
from sdaug.types import Pose

PROFILE_DEG = 48.0
"""From this |yaw|, as the five points have it, the landmarks are no longer asked: they stay at about 50 degrees for
whatever is turned further, and fail where the far eye is hidden (docs/decisions/0003-pose.md)."""


def read_pose(landmarks: np.ndarray | None, five_points: np.ndarray | None) -> Pose | None:
    """The calibrated pose of a face, None where nothing can be read.

    landmarks: (478, 3) or None. five_points: (5, 2) pixels of a detector that finds them by itself, or None.
    """
    near = None if landmarks is None else estimate_pose(landmarks)
    if five_points is None or (five_points == five_points[0]).all():
        return near
    far = point_pose(five_points)
    return near if near is not None and abs(far.yaw_deg) < PROFILE_DEG else far
