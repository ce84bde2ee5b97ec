"""One self-contained page about a sweep: verdict, table, chart, pictures, refusals, provenance."""

import base64
import io
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from sdaug.cells import setting_text, short
from sdaug.charts import latency_against_similarity
from sdaug.compare import by_setting, peak_bytes, setting_metrics
from sdaug.evidence import ALIKE, FIGURES
from sdaug.results import Sweep, setting
from sdaug.statistics.claims import Estimate


def write_report(sweep: Sweep, out: Path) -> Path:
    """Writes the page; pictures of faces only where the experiment says `log_images`."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["figure"] = _figure_text
    template = page.from_string((files("sdaug") / "templates/report.html").read_text(encoding="utf-8"))
    html = template.render(
        sweep=sweep,
        columns=_columns(sweep),
        rows=_rows(sweep),
        compared=_compared(sweep) if sweep.finished_keys else [],
        alike_wanted=ALIKE,
        poses=_poses(sweep) if sweep.finished_keys else [],
        points=_points(sweep),
        script=(files("sdaug") / "templates/pareto.js").read_text(encoding="utf-8"),
        chart=_chart(sweep) if sweep.finished_keys else "",
        sheets=_sheets(sweep) if sweep.experiment["log_images"] else [],
        failures=[result for result in sweep.results if result["status"] != "finished"],
        refusals=sweep.refusals.to_dict("records"),
        sample=next((r["record"] for r in sweep.results if r["status"] == "finished"), None),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(out.name + ".part")
    try:
        draft.write_text(html, encoding="utf-8")
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)
    return out


def _columns(sweep: Sweep) -> list[tuple[str, str]]:
    """(column, heading) of the settings table."""
    own = sweep.recogniser if sweep.finished_keys else ""
    return [
        ("latency.per_angle_p50_s", "an angle, s"),
        ("raw.accepted", "raw accepted"),
        (f"raw.similarity.{own}", "raw similarity"),
        ("final.accepted", "final accepted"),
        (f"final.similarity.{own}", "final similarity"),
        ("final.pose_error_deg_median", "pose error, deg"),
        ("memory.resident_peak_bytes", "peak, GB"),
        ("latency.first_call_s", "first call, s"),
        ("latency.load_s", "load, s"),
    ]


def _rows(sweep: Sweep) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for varied in sweep.varied.values() for name in varied))
    cells = by_setting(sweep.results)
    rows = []
    for key in sweep.finished_keys:
        figures = setting_metrics(cells[key])
        settings = [(short(name), setting_text(setting(cells[key][0]["settings"], name))) for name in names]
        rows.append({"key": key, "settings": settings, "figures": figures, "chosen": key == sweep.choice.key})
    return rows


def _compared(sweep: Sweep) -> list[dict[str, Any]]:
    """A row a setting and figure: how it differs from the baseline and what may be claimed of that."""
    found = sweep.evidence
    rows = []
    for key in found.alike:
        for figure in FIGURES if key != found.baseline else ():
            one = found.comparisons[figure][key]
            rows.append(
                {
                    "key": key, "name": sweep.name(key), "figure": figure, "people": len(one.pairs.people),
                    "rows": one.pairs.rows, "dropped": one.pairs.baseline_dropped + one.pairs.setting_dropped,
                    "difference": _interval(one.difference), "kept": _interval(one.kept.share),
                    "verdict": one.kept.verdict, "p": one.p_holm, "detectable": one.detectable,
                    "alike": found.alike[key],
                }
            )  # fmt: skip
    return rows


def _interval(estimate: Any) -> str:
    """An estimate with its interval, or why there is none."""
    if isinstance(estimate, Estimate):
        return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
    return estimate.why


def _poses(sweep: Sweep) -> list[dict[str, Any]]:
    """A row a pose, of the baseline and of the chosen setting: angles, share accepted, similarity."""
    shown = list(dict.fromkeys(key for key in (sweep.baseline, sweep.choice.key) if key in sweep.finished_keys))
    by_pose = sweep.by_pose
    poses = dict.fromkeys(tuple(pose) for key, *pose in by_pose.index if key in shown)
    known = set(by_pose.index)
    return [
        {"pose": pose, "figures": [by_pose.loc[(key, *pose)] if (key, *pose) in known else None for key in shown]}
        for pose in poses
    ]


def _points(sweep: Sweep) -> list[dict[str, Any]]:
    """What the chart shows, a point a setting; only settings of which everything is known."""
    front = set(sweep.front)
    points = []
    for row in _rows(sweep):
        figures, peak = row["figures"], peak_bytes(row["figures"])
        values = {
            "seconds an angle": figures["latency.per_angle_p50_s"],
            "peak, GB": None if peak is None else peak / 1e9,
            "raw similarity": figures[f"raw.similarity.{sweep.recogniser}"],
            "raw accepted, share": figures["raw.accepted"] / figures["angles"],
        }
        if all(value is not None for value in values.values()):
            point = {"name": sweep.name(row["key"]), "chosen": row["chosen"], "front": row["key"] in front}
            points.append(point | {"values": {name: round(value, 5) for name, value in values.items()}})
    return points


def _figure_text(value: Any, column: str) -> str:
    """A figure as the table shows it; what could not be measured is a dash."""
    if value is None or value != value:
        return "–"
    if column.endswith("_bytes"):
        return f"{value / 1e9:.2f}"
    if column.endswith("accepted"):
        return f"{value:.0f}"
    return f"{value:.1f}" if column.endswith("median") else f"{value:.3f}"


def _chart(sweep: Sweep) -> str:
    """The chart as base64 PNG."""
    buffer = io.BytesIO()
    latency_against_similarity(sweep).savefig(buffer, format="png", dpi=130)
    return base64.b64encode(buffer.getvalue()).decode()


def _sheets(sweep: Sweep) -> list[dict[str, str]]:
    """Contact sheets as base64 WebP."""
    from PIL import Image

    sheets = []
    for result in sweep.results:
        if result["status"] != "finished":
            continue
        buffer = io.BytesIO()
        with Image.open(sweep.folder / "cells" / result["key"] / "contact.png") as sheet:
            sheet.save(buffer, format="WEBP", quality=80)
        name = f"{result['person']}, seed {result['seed']}: {sweep.name(result['setting'])}"
        sheets.append({"key": result["key"], "name": name, "data": base64.b64encode(buffer.getvalue()).decode()})
    return sheets
