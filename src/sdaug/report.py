"""One self-contained page about a sweep: verdict, table, chart, pictures, refusals, provenance."""

import base64
import io
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdaug.cells import named, setting_text, short
from sdaug.charts import latency_against_similarity
from sdaug.compare import Choice, by_setting, raw_outcome, setting_metrics, table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sweep:
    """A sweep read back from its folder. table: one row a setting, index = its key; varied: what each varies."""

    folder: Path
    experiment: dict[str, Any]
    results: tuple[dict[str, Any], ...]
    varied: dict[str, dict[str, Any]]
    choice: Choice
    table: "pd.DataFrame"

    @property
    def finished_keys(self) -> list[str]:
        """The settings of which at least one cell is finished."""
        done = (result["setting"] for result in self.results if result["status"] == "finished")
        return list(dict.fromkeys(done))

    @property
    def recogniser(self) -> str:
        """The pack's own recogniser."""
        first = next(result for result in self.results if result["status"] == "finished")
        return first["record"]["pack"]["recognisers"][0]

    @property
    def refusals(self) -> "pd.DataFrame":
        """How often each reason was given, raw and final apart."""
        import pandas as pd

        rows = []
        for key, cells in by_setting(self.results).items():
            finished = [cell for cell in cells if cell["status"] == "finished"]
            angles = [(angle, cell["settings"]["backend"]) for cell in finished for angle in cell["record"]["angles"]]
            stages = {"raw": [raw_outcome(*angle) for angle in angles], "final": [angle for angle, _ in angles]}
            for stage, outcomes in stages.items():
                counts = Counter(reason for outcome in outcomes if outcome for reason in outcome["reasons"])
                rows += [{"key": key, "stage": stage, "reason": r, "angles": n} for r, n in sorted(counts.items())]
        return pd.DataFrame(rows, columns=["key", "stage", "reason", "angles"])

    @property
    def people(self) -> list[str]:
        return list(dict.fromkeys(result["person"] for result in self.results))

    def load_name(self, key: str) -> str:
        """The load-time part of a setting in a few words."""
        return named({k: v for k, v in self.varied[key].items() if not k.startswith("generation.")})

    def name(self, key: str) -> str:
        """Everything a setting varies, in a few words."""
        return named(self.varied[key])


def setting(settings: Mapping[str, Any], dotted: str) -> Any:
    """The value at `a.b.c` in nested settings, None where there is nothing."""
    for part in dotted.split("."):
        if not isinstance(settings, Mapping) or part not in settings:
            return None
        settings = settings[part]
    return settings


def read_sweep(folder: Path) -> Sweep:
    """The sweep in `folder`; raises FileNotFoundError if none was run there."""
    index = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    varied = {setting["key"]: setting["varied"] for setting in index["settings"]}
    results = tuple(
        json.loads((folder / "cells" / cell["key"] / "result.json").read_text(encoding="utf-8"))
        for cell in index["cells"]
    )
    chosen = json.loads((folder / "chosen.json").read_text(encoding="utf-8"))
    choice = Choice(chosen["key"], chosen["why"])
    return Sweep(folder, index["experiment"], results, varied, choice, table(results, varied).set_index("key"))


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
