"""The rows of `evaluate truth` summed up: by bin of the pose, and what the pose estimators say."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sdaug.types import Pose

Row = Mapping[str, Any]

BINS: dict[str, Callable[[Pose], bool]] = {
    "all": lambda pose: True,
    "yaw_le_30": lambda pose: abs(pose.yaw_deg) <= 30,
    "yaw_0": lambda pose: pose.yaw_deg == 0,
    "yaw_15": lambda pose: abs(pose.yaw_deg) == 15,
    "yaw_30": lambda pose: abs(pose.yaw_deg) == 30,
    "yaw_45": lambda pose: abs(pose.yaw_deg) == 45,
    "yaw_60": lambda pose: abs(pose.yaw_deg) == 60,
    "pitch_0": lambda pose: pose.pitch_deg == 0,
    "pitch_15": lambda pose: abs(pose.pitch_deg) == 15,
    "pitch_30": lambda pose: abs(pose.pitch_deg) == 30,
}
"""The poses of each summary figure, over all values of the other axis."""

SIMILARITIES = ("input_to_true", "mirrored_to_true", "in_plane_to_true", "generated_to_input", "true_to_input")

NEAR_TRUE = 0.08
"""A view is to be this near to what the true view scores against the input; much higher means it was not turned."""

MISSION_SIMILARITY = 0.8
"""The mission's own acceptance rule, similarity to the input; reported, never decisive."""


def mean(values: Iterable[float]) -> float | None:
    """The mean, None of nothing."""
    known = list(values)
    return float(np.mean(known)) if known else None


def spread(readings: Iterable[float | None]) -> dict[str, float | None]:
    """Median, 95th percentile and mean of errors in degrees, None left out; null without any."""
    errors = [error for error in readings if error is not None]
    if not errors:
        return {"median": None, "p95": None, "mean": None}
    return {"median": float(np.median(errors)), "p95": float(np.percentile(errors, 95)), "mean": float(np.mean(errors))}


def summary(rows: Sequence[Row], recogniser: str) -> dict[str, dict[str, Any]]:
    """Mean similarities, counts and pose errors per bin of poses; a bin without views has null figures.

    An undetected view scores 0 everywhere, a refused one in `generated_to_true`; `ungated_to_true` is the same as if
    the gate had kept all. `excess_to_input`: by how much the views are more alike to the input than the true views
    are, on average; beside it the share of views where that differs by at most NEAR_TRUE.
    """
    figures = {}
    for name, belongs in BINS.items():
        chosen = [row for row in rows if belongs(Pose(row["yaw_deg"], row["pitch_deg"]))]
        to_input = [row[f"generated_to_input.{recogniser}"] for row in chosen]
        truth = [row[f"true_to_input.{recogniser}"] for row in chosen]
        excess = [made - true for made, true in zip(to_input, truth, strict=True)]
        figures[name] = {
            "n": len(chosen),
            "undetected": sum(not row["face_found"] for row in chosen),
            "true_undetected": sum(not row["true_face_found"] for row in chosen),
            "refused": sum(not row["accepted"] for row in chosen),
            **{key: mean(row[f"{key}.{recogniser}"] for row in chosen) for key in SIMILARITIES},
            "generated_to_true": mean(row[f"generated_to_true.{recogniser}"] * row["accepted"] for row in chosen),
            "ungated_to_true": mean(row[f"generated_to_true.{recogniser}"] for row in chosen),
            "excess_to_input": mean(excess),
            f"within_{NEAR_TRUE}_of_true_to_input": mean(abs(e) <= NEAR_TRUE for e in excess),
            f"generated_to_input_above_{MISSION_SIMILARITY}": mean(s > MISSION_SIMILARITY for s in to_input),
            "pose_error_deg": spread([row["pose_error_deg"] for row in chosen]),
            "pose_error_second_deg": spread([row["pose_error_second_deg"] for row in chosen]),
        }
    return figures


def axis_errors(rows: Sequence[Row], reading: str) -> dict[str, float | None]:
    """Mean absolute error of yaw and of pitch, degrees, over the views whose pose could be read."""
    known = [row for row in rows if row[reading] is not None]
    return {axis: mean(abs(row[reading][axis] - row[axis]) for row in known) for axis in ("yaw_deg", "pitch_deg")}


def turn_made(rows: Sequence[Row], reading: str) -> dict[str, float | None]:
    """How much of the turn that was asked for is read, by axis: the least-squares slope through zero, 1 = all of it."""
    known = [row for row in rows if row[reading] is not None]
    slopes: dict[str, float | None] = {}
    for axis in ("yaw_deg", "pitch_deg"):
        asked = np.array([row[axis] for row in known])
        read = np.array([row[reading][axis] for row in known])
        slopes[axis] = float(asked @ read / (asked @ asked)) if asked.any() else None
    return slopes


def pose_errors(rows: Sequence[Row]) -> dict[str, Any]:
    """Pose errors of the generated views by both estimators; of the true views, the estimators' own."""
    return {
        key: spread([row[key] for row in rows]) | extra
        for key, extra in (
            ("pose_error_deg", _by_axis(rows, "measured")),
            ("pose_error_second_deg", _by_axis(rows, "measured_second")),
            ("true_pose_error_deg", {}),
            ("true_pose_error_second_deg", {}),
        )
    }


def _by_axis(rows: Sequence[Row], reading: str) -> dict[str, Any]:
    return {"by_axis": axis_errors(rows, reading), "turn_made": turn_made(rows, reading)}
