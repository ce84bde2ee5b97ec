"""Head pose as a rotation: R = R_roll R_pitch R_yaw on (x right, y down, z away), signs of ISO/IEC 39794-5."""

import numpy as np

from sdaug.types import Pose


def rotation(pose: Pose) -> np.ndarray:
    """The (3, 3) rotation that takes an upright frontal head to `pose`.

    The nose of a frontal head points at the camera, to (0, 0, -1); turned to its own left it moves to the right:

    >>> nose = np.array([0, 0, -1])
    >>> (rotation(Pose(90, 0)) @ nose).round(6) + 0.0
    array([1., 0., 0.])
    >>> (rotation(Pose(0, 90)) @ nose).round(6) + 0.0
    array([0., 1., 0.])
    """
    yaw, pitch, roll = np.radians([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    r_yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    r_pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    r_roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return r_roll @ r_pitch @ r_yaw


def pose_of(matrix: np.ndarray) -> Pose:
    """The pose of a (3, 3) rotation; inverse of `rotation` for |pitch| < 90 degrees.

    >>> p = pose_of(rotation(Pose(40, -20, 10)))
    >>> round(p.yaw_deg, 6), round(p.pitch_deg, 6), round(p.roll_deg, 6)
    (40.0, -20.0, 10.0)
    """
    yaw = np.arctan2(matrix[2, 0], matrix[2, 2])
    pitch = np.arcsin(np.clip(matrix[2, 1], -1, 1))
    roll = np.arctan2(matrix[0, 1], matrix[1, 1])
    return Pose(*(float(np.degrees(a)) for a in (yaw, pitch, roll)))


def similarity_fit(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (D, D) and shift (D,) taking `source` (N, D) to `target` (N, D), least squares (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    signs = np.ones(source.shape[1])
    signs[-1] = np.sign(np.linalg.det(u @ vt))
    matrix = u @ np.diag(signs) @ vt
    scale = float((singular * signs).sum() / (a**2).sum())
    return scale, matrix, target.mean(0) - scale * matrix @ source.mean(0)
