"""Sweeps: every load-time setting of an experiment in a fresh kernel, resumable, failures kept as results."""

import hashlib
import itertools
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdaug.compare import Choice, choose
from sdaug.experiment import Cell, Experiment, ExperimentError
from sdaug.photos import photo_path
from sdaug.record import write_json
from sdaug.run import RESULT, SCHEMA

log = logging.getLogger("sdaug.sweep")

PARAMETERS = ("settings", "generations", "photo", "out", "repeats", "show_images")
"""What the sweep notebook must take, no more and no less: papermill would only warn of an unknown one."""


COMPARE = "notebooks/compare.ipynb"


@dataclass(frozen=True)
class Outcome:
    """A sweep's results, in the cells' order."""

    cells: tuple[Cell, ...]
    results: tuple[dict[str, Any], ...]

    @property
    def failed(self) -> int:
        return sum(result["status"] == "failed" for result in self.results)


def read_result(out: Path, key: str) -> dict[str, Any] | None:
    """A cell's result, None if it has not been run."""
    path = out / "cells" / key / RESULT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def unfinished(cells: Sequence[Cell], out: Path) -> list[Cell]:
    """Cells still to run: those never run, and those that failed."""
    results = ((cell, read_result(out, cell.key)) for cell in cells)
    return [cell for cell, result in results if result is None or result["status"] == "failed"]


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that can share a kernel, because they load the same things."""
    ordered = sorted(cells, key=lambda cell: cell.load_key)
    return [list(group) for _, group in itertools.groupby(ordered, key=lambda cell: cell.load_key)]


def run_sweep(
    experiment: Experiment, cells: Sequence[Cell], out: Path, progress: Callable[[int, int, str], None] | None = None
) -> Outcome:
    """Runs what is unfinished; `progress` is called with (kernels done, kernels to do, what runs now).

    Writes `out/cells/<key>/result.json` per cell, `out/notebooks/<load key>.ipynb` per kernel and `out/sweep.json`.
    """
    check_notebook(experiment.notebook)
    todo = groups(unfinished(cells, out))
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    for done, group in enumerate(todo):
        if progress is not None:
            progress(done, len(todo), describe(group[0]))
        _run_group(experiment, group, out)
    if progress is not None:
        progress(len(todo), len(todo), "done")
    results = tuple(read_result(out, cell.key) or _failed(cell, "not run") for cell in cells)
    index = {"experiment": experiment.model_dump(), "cells": [{"key": c.key, "varied": c.varied} for c in cells]}
    write_json(out / "sweep.json", index)
    return Outcome(tuple(cells), results)


def check_notebook(path: str) -> None:
    """Raises ExperimentError unless the notebook's parameters are exactly `PARAMETERS`."""
    import papermill

    found = set(papermill.inspect_notebook(path))
    if found != set(PARAMETERS):
        missing, unknown = sorted(set(PARAMETERS) - found), sorted(found - set(PARAMETERS))
        raise ExperimentError(
            f"notebook {path!r} must take {', '.join(PARAMETERS)}; missing {missing}, unknown {unknown}"
        )


def describe(cell: Cell) -> str:
    """The load-time settings a cell varies, in a few words."""
    words = [f"{name.split('.', 1)[-1]}={value}" for name, value in cell.varied.items() if "generation" not in name]
    return " ".join(words) or cell.settings.backend


def _execute(notebook: str, executed: Path, parameters: dict[str, Any]) -> None:
    """Runs a notebook in a fresh kernel; the executed copy is written whether or not it succeeds."""
    import papermill
    from traitlets.config import Config as Traits

    # a socket file instead of open TCP ports: nobody else on the machine can read or drive the kernel
    local = Traits({"KernelManager": {"transport": "ipc"}})
    papermill.execute_notebook(
        notebook, str(executed), parameters, kernel_name="python3", progress_bar=False, config=local
    )


def _run_group(experiment: Experiment, group: list[Cell], out: Path) -> None:
    from papermill.exceptions import PapermillExecutionError

    first = group[0]
    executed = out / "notebooks" / f"{first.load_key}.ipynb"
    parameters = {
        "settings": first.settings.model_dump(mode="json"),
        "generations": [cell.settings.generation.model_dump(mode="json") for cell in group],
        "photo": str(photo_path(experiment.photo).resolve()),
        "out": str((out / "cells").resolve()),
        "repeats": experiment.repeats,
        "show_images": experiment.log_images,
    }
    error = ""
    try:
        _execute(experiment.notebook, executed, parameters)
    except PapermillExecutionError as failure:
        error = re.sub(r"\x1b\[[0-9;]*m", "", f"{failure.ename}: {failure.evalue}")
        log.warning("setting %s failed: %s", describe(first), error)
    for cell in unfinished(group, out):
        result = _failed(cell, error or "the notebook ended without a result", executed.name)
        folder = out / "cells" / cell.key
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RESULT, result)


def _failed(cell: Cell, error: str, notebook: str | None = None) -> dict[str, Any]:
    settings = cell.settings.model_dump(mode="json")
    status = "skipped" if error.startswith("LeverSkipped") else "failed"
    return {
        "schema": SCHEMA, "key": cell.key, "status": status, "settings": settings, "error": error, "notebook": notebook,
    }  # fmt: skip


def finish(experiment: Experiment, outcome: Outcome, out: Path, root: Path) -> Choice:
    """Chooses a setting, writes `out/chosen.json`, runs the comparing notebook and mirrors everything into MLflow.

    root: the folder that holds `mlruns/`. A sweep that was finished before is not compared or logged again.
    """
    choice = choose(outcome.results)
    settings = {result["key"]: result["settings"] for result in outcome.results}
    chosen = {"key": choice.key, "why": choice.why, "settings": settings.get(choice.key)}
    summary = {
        "chosen": chosen,
        "results": hashlib.sha256(json.dumps(outcome.results, sort_keys=True).encode()).hexdigest(),
    }
    done = out / "finished.json"
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")) == summary:
        return choice
    write_json(out / "chosen.json", chosen)
    _execute(COMPARE, out / "compare.ipynb", {"results": str(out.resolve()), "show_images": experiment.log_images})
    from sdaug.tracking import log_sweep

    varied = {cell.key: cell.varied for cell in outcome.cells}
    log_sweep(root, experiment.experiment, outcome.results, varied, choice, out, experiment.log_images)
    write_json(done, summary)
    return choice
