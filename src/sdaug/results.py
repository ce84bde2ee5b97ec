"""A sweep read back from its folder."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdaug.cells import named
from sdaug.compare import Choice, by_setting, cell_rows, main_device, peak_bytes, raw_outcome, setting_metrics, table
from sdaug.evidence import Evidence, evidence
from sdaug.shown import Shown
from sdaug.statistics.front import pareto_front

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sweep:
    """A sweep read back from its folder. table: one row a setting, index = its key; varied: what each varies; photos:
    a path by person."""

    folder: Path
    experiment: dict[str, Any]
    baseline: str
    results: tuple[dict[str, Any], ...]
    varied: dict[str, dict[str, Any]]
    choice: Choice
    table: "pd.DataFrame"
    photos: dict[str, str] = field(default_factory=dict)

    def shown(self, faces: bool) -> Shown:
        """Who may be shown and named: everybody if `faces` and the experiment say so, otherwise nobody."""
        shown = Shown.of({"experiment": self.experiment, "people": self.photos}, *self.people)
        return replace(shown, everything=faces and self.experiment["log_images"])

    @cached_property
    def device(self) -> str | None:
        """The device whose times are compared; None without a finished cell."""
        return main_device(self.results)

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

    @property
    def by_pose(self) -> "pd.DataFrame":
        """Of every setting and pose: angles, the share whose raw image was accepted, its mean raw similarity."""
        import pandas as pd

        rows = [
            {
                "key": result["setting"],
                "yaw_deg": row["yaw_deg"],
                "pitch_deg": row["pitch_deg"],
                "accepted": float(row["raw.accepted"] is True),
                "similarity": row[f"raw.similarity.{self.recogniser}"],
            }
            for result in self.results
            if result["status"] == "finished"
            for row in cell_rows(result)
        ]
        grouped = pd.DataFrame(rows).astype({"similarity": float}).groupby(["key", "yaw_deg", "pitch_deg"], sort=False)
        return grouped.agg(
            angles=("accepted", "size"), accepted=("accepted", "mean"), similarity=("similarity", "mean")
        )

    @property
    def front(self) -> list[str]:
        """The settings that no other is better than in time, memory and raw similarity at once."""
        keys, of = self.finished_keys, by_setting(self.results)
        figures = [setting_metrics(of[key], self.device) for key in keys]
        small = [(row["latency.per_angle_p50_s"], peak_bytes(row)) for row in figures]
        large = [(row[f"raw.similarity.{self.recogniser}"],) for row in figures]
        front = pareto_front(np.array(small, float).reshape(-1, 2), np.array(large, float).reshape(-1, 1))
        return [key for key, kept in zip(keys, front, strict=True) if kept]

    @cached_property
    def evidence(self) -> Evidence:
        """Every setting against the baseline."""
        return evidence(self.results, self.baseline, self.folder / "cells")

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
    figures = table(results, varied).set_index("key")
    return Sweep(
        folder, index["experiment"], index["baseline"], results, varied, choice, figures, index.get("people", {})
    )
