"""One self-contained page about a sweep: verdict, what costs what, tables, pictures, failures, device, provenance."""

import base64
import io
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from sdaug.charts import latency_against_similarity
from sdaug.evidence import ALIKE, MISSION_KEPT
from sdaug.report.device import machines, memory_meters, origins, telemetry
from sdaug.report.pictures import gallery
from sdaug.report.stages import by_stage
from sdaug.report.tables import COLUMNS, against_baseline, by_pose, front_points, settings_table
from sdaug.results import Sweep


def write_report(sweep: Sweep, out: Path, faces: bool = True) -> Path:
    """Writes the page and returns its path. faces: whether people are shown and named; never against the experiment's
    own `log_images`."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["figure"] = figure_text
    template = page.from_string(_template("report.html"))
    names = sweep.shown(faces)
    made = bool(sweep.finished_keys)
    rows = settings_table(sweep) if made else []
    html = template.render(
        sweep=sweep,
        made=made,
        names=names,
        style=_template("report.css"),
        columns=COLUMNS,
        rows=rows,
        against=against_baseline(sweep) if made else [],
        alike_wanted=ALIKE,
        kept_wanted=MISSION_KEPT,
        poses=by_pose(sweep) if made else None,
        stages=by_stage(sweep),
        points=front_points(sweep, rows),
        script=_template("pareto.js"),
        chart=_chart(sweep) if made else "",
        gallery=gallery(sweep, names) if names.everything else None,
        failures=[result for result in sweep.results if result["status"] != "finished"],
        refusals=sweep.refusals.to_dict("records"),
        machines=machines(sweep.results),
        meters=memory_meters(sweep.results),
        telemetry=telemetry(sweep.results),
        origins=origins(sweep, names) if made else None,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(out.name + ".part")
    try:
        draft.write_text(html, encoding="utf-8")
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)
    return out


def figure_text(value: Any, column: str = "") -> str:
    """A figure as the tables show it; what could not be measured is a dash.

    >>> figure_text(None), figure_text(1.25e9, "peak_bytes"), figure_text(3.0, "raw.accepted"), figure_text(0.12345)
    ('–', '1.25', '3', '0.123')
    """
    if value is None or value != value:
        return "–"
    if column.endswith("_bytes"):
        return f"{value / 1e9:.2f}"
    if column.endswith(("accepted", "angles")):
        return f"{value:.0f}"
    return f"{value:.1f}" if column.endswith("median") else f"{value:.3f}"


def _template(name: str) -> str:
    return (files("sdaug") / "templates" / name).read_text(encoding="utf-8")


def _chart(sweep: Sweep) -> str:
    """The chart for a browser without scripts, as base64 PNG."""
    buffer = io.BytesIO()
    latency_against_similarity(sweep).savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
