"""Head pose from five image points and an average head: a second reading that owes nothing to the 3-D landmarks."""

from typing import Literal

import numpy as np

from sdaug.face.pose import calibrated
from sdaug.face.rotation import rotation
from sdaug.types import Pose

PointSet = Literal["five_points", "eye_corners"]
"""`five_points`: a detector's (pupils, nose tip, mouth corners), in the order of `Face.five_points`. `eye_corners`:
dlib's five-point predictor (outer and inner corner of the eye on the image's right, then left; under the nose)."""

AVERAGE_HEAD: dict[PointSet, np.ndarray] = {
    "five_points": np.array([(-31.5, 0, 0), (31.5, 0, 0), (0, 42, -38), (-25, 72, -8), (25, 72, -8)], float),
    "eye_corners": np.array([(45, 0, 8), (17, 0, 0), (-45, 0, 8), (-17, 0, 0), (0, 48, -14)], float),
}
"""The points on an adult's head in millimetres, x right, y down, z away: round figures of no particular person, for a
distance of 63 mm between the pupils. What they miss on average is in the calibration. The nose's reach is the one
figure that was chosen: with it 60 people photographed from the front read as frontal on average."""

CAMERA_MM = 980.0
"""Assumed distance from the camera: seven face widths, as for the warp."""

PRIOR = 0.1
"""Pull towards frontal, as residual (in head widths) a radian: with few points a head looking up and one down can
fit almost equally well, and noise would decide."""

WEIGHTS: dict[PointSet, tuple[float, ...]] = {"five_points": (1, 1, 1, 0.5, 0.5), "eye_corners": (1, 1, 1, 1, 1)}
"""How far each point is trusted: the mouth's corners move with the expression."""


def raw_point_pose(points: np.ndarray, kind: PointSet) -> Pose:
    """The uncalibrated pose of `points` (5, 2), pixels: least squares over rotation, scale and shift in perspective."""
    from scipy.optimize import least_squares

    model = AVERAGE_HEAD[kind] - AVERAGE_HEAD[kind].mean(0)
    wanted = points.astype(np.float64) - points.mean(0)
    size = np.sqrt((wanted**2).sum() / (model[:, :2] ** 2).sum())
    if not size > 0:
        raise ValueError(f"the five points are one point, {points[0].tolist()}; expected five apart")
    wanted /= size
    weights = np.array(WEIGHTS[kind])[:, None] / np.ptp(model[:, 0])

    def residuals(state: np.ndarray) -> np.ndarray:
        turned = model @ rotation(Pose(*np.degrees(state[:3]))).T
        seen = turned[:, :2] * (CAMERA_MM / (CAMERA_MM + turned[:, 2:])) * np.exp(state[3]) + state[4:]
        return np.concatenate([((seen - wanted) * weights).ravel(), PRIOR * state[:2]])

    return Pose(*np.degrees(least_squares(residuals, np.zeros(6)).x[:3]).tolist())


def point_pose(points: np.ndarray, kind: PointSet = "five_points") -> Pose:
    """The calibrated pose of `points` (5, 2) in pixels, degrees; how far to trust it is in `pose_calibration.json`.

    Raises ValueError where all five points are one.
    """
    return calibrated(raw_point_pose(points, kind), kind)
