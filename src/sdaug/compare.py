"""Comparing settings over the people and seeds they share, always from the raw output; the choice among those that
pass."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Choice:
    """The chosen setting's key, or None, and why in a sentence."""

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


FIGURES = (
    "latency.import_s", "latency.load_s", "latency.first_call_s", "latency.call_p50_s", "latency.per_angle_p50_s",
    "memory.resident_peak_bytes", "memory.resident_peak_sampled_bytes", "memory.cuda_allocated_peak_bytes",
    "raw.accepted", "final.accepted", "angles", "final.pose_error_deg_median",
)  # fmt: skip
OF_A_RECOGNISER = ("raw.similarity", "final.similarity", "final.share_above_0.8")
"""What `metrics` tells of every cell, the latter with a recogniser's name behind."""

OF_A_DEVICE = ("latency.", "stage.", "energy.")
"""What figures begin with that say nothing of another device."""


def metrics(result: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of one finished cell, units in the names; None = could not be measured."""
    angles, backend = result["record"]["angles"], result["settings"]["backend"]
    raws = [raw_outcome(angle, backend) for angle in angles]
    latency, memory = result["latency_s"], result["record"]["memory"]
    call = float(np.median(latency["call"])) if latency["call"] else None
    errors = [pose_error_deg(angle) for angle in angles if angle["accepted"]]
    known_errors = [error for error in errors if error is not None]
    figures: dict[str, float | None] = {
        "latency.import_s": latency["import"],
        "latency.load_s": latency["load"],
        "latency.first_call_s": latency["first_call"],
        "latency.call_p50_s": call,
        "latency.per_angle_p50_s": None if call is None else call / len(angles),
        **{f"memory.{meter}_bytes": value for meter, value in memory.items()},
        **{f"stage.{name}_s": of["total_s"] for name, of in result["record"].get("stages", {}).items()},
        "energy.calls_j": result.get("energy_j"),
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


def seconds_an_angle(result: Mapping[str, Any]) -> float:
    """Of a finished cell: the median of the repeated calls, or the first call where it was not repeated."""
    steady = metrics(result)["latency.per_angle_p50_s"]
    return result["latency_s"]["first_call"] / len(result["record"]["angles"]) if steady is None else steady


def peak_bytes(figures: Mapping[str, float | None]) -> float | None:
    """Of a cell's or a setting's figures: allocated on the GPU, or resident where there is none.

    Resident as sampled during the first call: the kernel's own high-water mark knows of every call before them too.
    """
    return figures["memory.cuda_allocated_peak_bytes"] or figures["memory.resident_peak_sampled_bytes"]


def cell_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row an angle of one cell: who, which seed, what was asked for, what came of it; None = could not be measured.

    One row with the error for a cell that made nothing.
    """
    head = {name: result[name] for name in ("key", "person", "seed", "status")}
    if result["status"] != "finished":
        return [head | {"error": result["error"]}]
    rows, backend = [], result["settings"]["backend"]
    for angle in result["record"]["angles"]:
        raw = raw_outcome(angle, backend)
        row = head | {
            "index": angle["index"],
            "yaw_deg": angle["requested"]["yaw_deg"],
            "pitch_deg": angle["requested"]["pitch_deg"],
            "rung": angle["rung"],
            "latency_s": angle["latency_s"],
            "raw.accepted": None if raw is None else raw["accepted"],
            "final.accepted": angle["accepted"],
            "final.pose_error_deg": pose_error_deg(angle),
            "reasons": ", ".join(angle["reasons"]),
        }
        for name in result["record"]["pack"]["recognisers"]:
            row[f"raw.similarity.{name}"] = raw_similarity(angle, backend, name)
            row[f"final.similarity.{name}"] = angle["similarity"].get(name)
        rows.append(row)
    return rows


def by_setting(results: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The results of each setting, in the order in which settings first come."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        found.setdefault(result["setting"], []).append(result)
    return found


def main_device(results: Sequence[Mapping[str, Any]]) -> str | None:
    """The device that ran most of the finished cells: where there are several, only its times are compared."""
    devices = Counter(str(cell.get("device")) for cell in results if cell["status"] == "finished")
    return max(devices, key=lambda name: devices[name], default=None)


def setting_metrics(results: Sequence[Mapping[str, Any]], device: str | None = None) -> dict[str, float | None]:
    """The figures of one setting over its finished cells, named as `metrics` names a cell's.

    Counts are summed, of memory the most is taken, of times, energy and pose errors the median; of all else the mean
    over people of each one's own mean, so that a person with more seeds counts no more. {} without a finished cell.
    device: whose times count, None for the one that ran most of these cells; a time that it has none of is None.
    """
    finished = [result for result in results if result["status"] == "finished"]
    block = device or main_device(finished)
    rows = [(result["person"], str(result.get("device")), metrics(result)) for result in finished]
    figures: dict[str, float | None] = {}
    for name in dict.fromkeys(name for _, _, row in rows for name in row):
        known = [
            (person, row[name])
            for person, where, row in rows
            if row.get(name) is not None and (where == block or not name.startswith(OF_A_DEVICE))
        ]
        figures[name] = _over_cells(name)(known) if known else None
    return figures


def _over_cells(name: str) -> Callable[[list[tuple[str, Any]]], float]:
    if name in ("angles", "raw.accepted", "final.accepted"):
        return lambda known: float(sum(value for _, value in known))
    if name.startswith("memory."):
        return lambda known: float(max(value for _, value in known))
    if name.startswith(OF_A_DEVICE) or name.endswith("_median"):
        return lambda known: float(np.median([value for _, value in known]))
    return mean_over_people


def mean_over_people(known: Sequence[tuple[str, float]]) -> float:
    """Of (person, value): the mean of each person's own mean."""
    people: dict[str, list[float]] = {}
    for person, value in known:
        people.setdefault(person, []).append(value)
    return float(np.mean([np.mean(values) for values in people.values()]))


def table(results: Sequence[Mapping[str, Any]], varied: Mapping[str, Mapping[str, Any]]) -> "pd.DataFrame":
    """One row a setting: what it varies, how many of its cells ended how, its figures; times of `main_device` alone."""
    import pandas as pd

    rows, device = [], main_device(results)
    for key, cells in by_setting(results).items():
        statuses = [cell["status"] for cell in cells]
        row: dict[str, Any] = {"key": key, "cells": len(cells)}
        row |= {status: statuses.count(status) for status in ("finished", "failed", "skipped")}
        rows.append(row | {name: str(value) for name, value in varied[key].items()} | setting_metrics(cells, device))
    return pd.DataFrame(rows)


def poses(results: Sequence[Mapping[str, Any]]) -> set[tuple[float, float]]:
    """(yaw, pitch) in degrees of every angle that finished cells were asked for."""
    asked = [angle["requested"] for r in results if r["status"] == "finished" for angle in r["record"]["angles"]]
    return {(one["yaw_deg"], one["pitch_deg"]) for one in asked}


def choose(
    results: Sequence[Mapping[str, Any]],
    keeps_quality: Callable[[str], bool] | None = None,
    budget_gb: float | None = None,
    baseline: str | None = None,
) -> Choice:
    """The fastest setting, per angle, of which every cell was finished and which passes; ties go to fewer levers.

    baseline: the key of the setting whose poses one has to make in order to pass: else that would be easiest for those
    that leave out the hard ones. None where it does not matter.

    keeps_quality: whether the setting with that key surely keeps the baseline's quality, which is what passing means;
    None where too few people were turned for such a claim: then the raw output of every cell must have been accepted at
    every angle. Where several devices ran the cells, only the times on that which ran most of them count. budget_gb: GB
    of 10^9 bytes that the peak may have, allocated on the GPU, or resident where there is none.
    """
    passed = "surely kept 99 % of the baseline's quality"
    if keeps_quality is None:
        passed = "had their raw output accepted at every angle"
    devices = {str(cell.get("device")) for cell in results if cell["status"] == "finished"}
    block = main_device(results)
    whole = {key: cells for key, cells in by_setting(results).items() if all(c["status"] == "finished" for c in cells)}
    wanted = set() if baseline is None else poses(by_setting(results)[baseline])
    passing = []
    for key, cells in whole.items():
        figures, settings = setting_metrics(cells), cells[0]["settings"]
        times = [seconds_an_angle(cell) for cell in cells if str(cell.get("device")) == block]
        ok = figures["raw.accepted"] == figures["angles"] if keeps_quality is None else keeps_quality(key)
        if ok and times and _within(figures, budget_gb) and wanted <= poses(cells):
            speed = float(np.median(times))
            # To the millisecond, as it is told: no two measured times are ever equal.
            passing.append((round(speed, 3), len(settings["levers"]), key, settings["backend"]))
    if len(devices) > 1:
        passed += f" and ran on {block}"
    if any(not wanted <= poses(cells) for cells in whole.values()):
        passed += f" and made all {len(wanted)} of the baseline's views"
    if budget_gb is not None:
        passed += f" within {budget_gb:g} GB"
    if not passing:
        return Choice(None, f"no setting chosen: of {len(whole)}, none {passed}")
    speed, _, key, backend = min(passing)
    where = f" on {block}, which of {len(devices)} devices ran the most cells" if len(devices) > 1 else ""
    return Choice(
        key,
        f"{len(passing)} of {len(whole)} settings {passed}; "
        f"this one ({backend}) was the fastest at {speed:.3f} s an angle{where}",
    )


def _within(figures: Mapping[str, float | None], budget_gb: float | None) -> bool:
    peak = peak_bytes(figures)
    return budget_gb is None or (peak is not None and peak <= budget_gb * 1e9)
