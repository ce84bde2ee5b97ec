"""Comparing cells: one row a setting, always from the raw output, and the choice among those that pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Choice:
    """The chosen cell, or None, and why in a sentence."""

    key: str | None
    why: str


def raw_outcome(angle: Mapping[str, Any], backend: str) -> Mapping[str, Any] | None:
    """What a setting itself made of an angle: the diffusion image before any ladder step, or the warp if asked for.

    None where diffusion was asked for and made nothing: the ladder's warp must not speak for it.
    """
    return angle if backend == "warp" else angle["raw"]


def raw_similarity(angle: Mapping[str, Any], backend: str, recogniser: str) -> float | None:
    """Similarity of the raw output to the source: at the requested landmarks for diffusion, as detected for a warp."""
    raw = raw_outcome(angle, backend)
    if raw is None:
        return None
    return raw["similarity" if backend == "warp" else "similarity_at_requested_landmarks"].get(recogniser)


def pose_error_deg(angle: Mapping[str, Any]) -> float | None:
    """Larger of yaw and pitch error of the final image, None where no pose could be read."""
    if angle["measured"] is None:
        return None
    return max(abs(angle["measured"][axis] - angle["requested"][axis]) for axis in ("yaw_deg", "pitch_deg"))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def metrics(result: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of one finished cell, units in the names; None = could not be measured."""
    angles, backend = result["record"]["angles"], result["settings"]["backend"]
    raws = [raw_outcome(angle, backend) for angle in angles]
    latency, memory = result["latency_s"], result["record"]["memory"]
    call = float(np.median(latency["call"])) if latency["call"] else None
    errors = [pose_error_deg(angle) for angle in angles if angle["accepted"]]
    known_errors = [error for error in errors if error is not None]
    figures: dict[str, float | None] = {
        "latency.load_s": latency["load"],
        "latency.first_call_s": latency["first_call"],
        "latency.call_p50_s": call,
        "latency.per_angle_p50_s": None if call is None else call / len(angles),
        "memory.resident_peak_bytes": memory["resident_peak"],
        "memory.cuda_allocated_peak_bytes": memory["cuda_allocated_peak"],
        "raw.accepted": float(sum(raw is not None and raw["accepted"] for raw in raws)),
        "final.accepted": float(sum(angle["accepted"] for angle in angles)),
        "angles": float(len(angles)),
        "final.pose_error_deg_median": float(np.median(known_errors)) if known_errors else None,
    }
    for name in result["record"]["pack"]["recognisers"]:
        kept = [angle["similarity"].get(name) for angle in angles if angle["accepted"]]
        figures[f"raw.similarity.{name}"] = _mean([raw_similarity(angle, backend, name) for angle in angles])
        figures[f"final.similarity.{name}"] = _mean(kept)
        figures[f"final.share_above_0.8.{name}"] = _mean([float(v > 0.8) for v in kept if v is not None])
    return figures


def table(results: Sequence[Mapping[str, Any]], varied: Mapping[str, Mapping[str, Any]]) -> "pd.DataFrame":
    """One row a cell: what it varied, its status, its figures. Failed and skipped cells are rows too."""
    import pandas as pd

    rows = []
    for result in results:
        row: dict[str, Any] = {"key": result["key"], "status": result["status"]}
        row |= {name: str(value) for name, value in varied[result["key"]].items()}
        row |= metrics(result) if result["status"] == "finished" else {"error": result["error"]}
        rows.append(row)
    return pd.DataFrame(rows)


def choose(results: Sequence[Mapping[str, Any]]) -> Choice:
    """The fastest cell, per angle, whose raw output was accepted at every angle; ties go to fewer levers."""
    finished = [result for result in results if result["status"] == "finished"]
    passing = []
    for result in finished:
        figures = metrics(result)
        speed = figures["latency.per_angle_p50_s"]
        if speed is None:
            speed = result["latency_s"]["first_call"] / len(result["record"]["angles"])
        if figures["raw.accepted"] == figures["angles"]:
            passing.append((speed, len(result["settings"]["levers"]), result["key"], result["settings"]["backend"]))
    if not passing:
        return Choice(None, f"no setting chosen: none of {len(finished)} had its raw output accepted at every angle")
    speed, _, key, backend = min(passing)
    return Choice(
        key,
        f"{len(passing)} of {len(finished)} settings had their raw output accepted at every angle; "
        f"this one ({backend}) was the fastest at {speed:.3f} s an angle",
    )
