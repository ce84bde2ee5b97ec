"""Head pose from the 3-D landmarks: rotation against a mean face, calibrated on views whose pose is exactly known."""

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from sdaug.face.rotation import pose_of, similarity_fit
from sdaug.types import Pose

MESH = 468
"""Landmarks 0..467 are the face; 468..477 are the irises, which turn with the gaze and say nothing about the head."""


@lru_cache(maxsize=1)
def reference_shape() -> np.ndarray:
    """The mean frontal face, (468, 3) float64, centred, rms radius 1; its file names its origin."""
    return np.array(json.loads((files("sdaug.face") / "data/reference_shape.json").read_text())["landmarks"])


@lru_cache(maxsize=1)
def calibration() -> dict[str, Any]:
    """What `scripts/calibrate_pose.py` wrote: coefficients per kind of reading, and their measured errors."""
    return json.loads((files("sdaug.face") / "data/pose_calibration.json").read_text())


def features(yaw: float, pitch: float) -> tuple[list[float], list[float]]:
    """Terms of the calibration for yaw (odd under mirroring) and for pitch (even), both from raw degrees."""
    return [yaw, yaw * pitch / 50], [1.0, pitch, yaw**2 / 50, yaw**2 * pitch / 2500]


def calibrated(raw: Pose, kind: str) -> Pose:
    """A raw reading of one kind (`landmarks`, `five_points`, `eye_corners`) as the pose it stands for."""
    for_yaw, for_pitch = features(raw.yaw_deg, raw.pitch_deg)
    known = calibration()[kind]["coefficients"]
    return Pose(float(np.dot(known["yaw"], for_yaw)), float(np.dot(known["pitch"], for_pitch)), raw.roll_deg)


def raw_pose(landmarks: np.ndarray) -> Pose:
    """The uncalibrated pose of landmarks (>= 468, 3): the rotation of the best similarity fit of the mean face."""
    return pose_of(similarity_fit(reference_shape(), landmarks[:MESH].astype(np.float64))[1])


def estimate_pose(landmarks: np.ndarray) -> Pose:
    """The calibrated head pose of landmarks (>= 468, 3) in pixels, degrees."""
    return calibrated(raw_pose(landmarks), "landmarks")
