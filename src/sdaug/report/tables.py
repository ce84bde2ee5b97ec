"""The rows of the report's tables, and the points of its chart."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdaug.cells import setting_text, short
from sdaug.compare import by_setting, peak_bytes, setting_metrics
from sdaug.evidence import ALIKE, FIGURES, MISSION_KEPT, QUALITY
from sdaug.results import Sweep, setting
from sdaug.statistics.claims import Estimate, NoClaim
from sdaug.statistics.comparison import Comparison
from sdaug.statistics.kept import Better

COLUMNS = (
    ("latency.per_angle_p50_s", "an angle, s"),
    ("raw.accepted", "raw accepted"),
    ("raw.similarity", "raw similarity"),
    ("final.accepted", "final accepted"),
    ("final.similarity", "final similarity"),
    ("angles", "angles"),
    ("final.pose_error_deg_median", "pose error, deg"),
    ("memory.resident_peak_sampled_bytes", "resident peak, GB"),
    ("memory.cuda_allocated_peak_bytes", "GPU tensors' peak, GB"),
    ("latency.first_call_s", "first call, s"),
    ("latency.import_s", "import, s"),
    ("latency.load_s", "load, s"),
)
"""(figure, heading) of the settings' table; a similarity is the pack's own recogniser's."""


def settings_table(sweep: Sweep) -> list[dict[str, Any]]:
    """A row a setting with a finished cell: what it varies, its figures as [(name, value)] in the order of COLUMNS."""
    varied = list(dict.fromkeys(name for of in sweep.varied.values() for name in of))
    cells = by_setting(sweep.results)
    rows = []
    for key in sweep.finished_keys:
        figures = setting_metrics(cells[key], sweep.device)
        names = [f"{name}.{sweep.recogniser}" if name.endswith("similarity") else name for name, _ in COLUMNS]
        rows.append(
            {
                "key": key,
                "settings": [(short(name), setting_text(setting(cells[key][0]["settings"], name))) for name in varied],
                "figures": [(name, figures[name]) for name in names],
                "all": figures,
                "similarity": figures[f"raw.similarity.{sweep.recogniser}"],
                "peak": peak_bytes(figures),
                "chosen": key == sweep.choice.key,
                "baseline": key == sweep.baseline,
            }
        )
    return rows


@dataclass(frozen=True)
class Against:
    """One figure of a setting beside the baseline's, in words. mission: "yes", "no", or empty where it asks nothing."""

    figure: str
    people: int
    rows: int
    dropped: int
    difference: str
    kept: str
    verdict: str
    mission: str
    p: float | None
    detectable: float | None


def against_baseline(sweep: Sweep) -> list[dict[str, Any]]:
    """A group a setting but the baseline: {key, alike, faceless, alike_mission, figures: [Against]}; an image without a
    face is like no other."""
    found = sweep.evidence
    groups = []
    for key, alike in found.alike.items():
        if key == found.baseline:
            continue
        figures = [_against(name, better, found.comparisons[name][key]) for name, better in FIGURES.items()]
        lost = found.faceless[key]
        mission = "" if alike is None else "yes" if alike > ALIKE and not lost else "no"
        groups.append({"key": key, "alike": alike, "faceless": lost, "alike_mission": mission, "figures": figures})
    return groups


def _against(name: str, better: Better, one: Comparison) -> Against:
    pairs = one.pairs
    share = _share(pairs.baseline, pairs.setting, better)
    mission = "" if name not in QUALITY or share is None else "yes" if share > MISSION_KEPT else "no"
    return Against(
        name, len(pairs.people), pairs.rows, pairs.baseline_dropped + pairs.setting_dropped,
        _interval(one.difference, float(pairs.differences.mean()) if len(pairs.people) else None),
        _interval(one.kept.share, share), one.kept.verdict, mission, one.p_holm, one.detectable,
    )  # fmt: skip


def _share(baseline: np.ndarray, own: np.ndarray, better: Better) -> float | None:
    """What these people keep of the baseline's mean; None where that has no meaning."""
    above, below = (own, baseline) if better == "higher" else (baseline, own)
    return float(above.mean() / below.mean()) if len(below) and below.mean() > 0 else None


def _interval(estimate: Estimate | NoClaim, observed: float | None) -> str:
    """An estimate with its interval, or the mere figure of these people, which is no claim of others."""
    if isinstance(estimate, Estimate):
        return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
    return "–" if observed is None else f"{observed:.3f}"


def by_pose(sweep: Sweep) -> dict[str, Any]:
    """{poses: [(yaw, pitch)] in degrees, rows: [{key, figures}]}: the setting's row of `Sweep.by_pose` for each pose,
    None where it was not asked for. Baseline and chosen setting first."""
    table = sweep.by_pose
    poses = list(dict.fromkeys((yaw, pitch) for _, yaw, pitch in table.index))
    known = set(table.index)
    first = [key for key in (sweep.baseline, sweep.choice.key) if key in sweep.finished_keys]
    rows = [
        {"key": key, "figures": [table.loc[(key, *pose)] if (key, *pose) in known else None for pose in poses]}
        for key in dict.fromkeys([*first, *sweep.finished_keys])
    ]
    return {"poses": poses, "rows": rows}


def front_points(sweep: Sweep, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the chart shows, a point a setting; only settings of which everything is known."""
    front = set(sweep.front) if rows else set()
    points = []
    for row in rows:
        figures, peak = row["all"], row["peak"]
        values = {
            "seconds an angle": figures["latency.per_angle_p50_s"],
            "peak, GB": None if peak is None else peak / 1e9,
            "raw similarity": row["similarity"],
            "raw accepted, share": figures["raw.accepted"] / figures["angles"],
        }
        if all(value is not None for value in values.values()):
            point = {"name": sweep.name(row["key"]), "chosen": row["chosen"], "front": row["key"] in front}
            points.append(point | {"values": {name: round(value, 5) for name, value in values.items()}})
    return points
