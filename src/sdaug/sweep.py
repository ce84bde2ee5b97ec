"""Sweeps: every load-time setting of an experiment in a fresh kernel, resumable, failures kept as results."""

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdaug.cells import Cell, named
from sdaug.compare import Choice, by_setting, choose
from sdaug.evidence import evidence
from sdaug.executors import Executor, WorkersLost, serial
from sdaug.experiment import COMPARE, Experiment, ExperimentError, baseline_key
from sdaug.kernel import Kernel, execute, give_up, run_kernel
from sdaug.measure.source import judging_version
from sdaug.record import write_json
from sdaug.run import RESULT, write_result
from sdaug.shown import Shown
from sdaug.tracking import STORE, Parent, Setting, is_server, open_parent

PARAMETERS = ("settings", "calls", "out", "repeats", "show_images")
"""What the sweep notebook must take, no more and no less: papermill would only warn of an unknown one."""


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


def result_of(cell: Cell, out: Path) -> dict[str, Any] | None:
    """`read_result` of somebody who is called what they are called now: whoever renamed a photo's file since has its
    results renamed too."""
    result = read_result(out, cell.key)
    if result is not None and result["person"] != cell.person.name:
        result["person"] = cell.person.name
        write_result(out / "cells" / cell.key, result)
    return result


def unfinished(cells: Sequence[Cell], out: Path) -> list[Cell]:
    """Cells still to run: those never run, and those that failed."""
    results = ((cell, read_result(out, cell.key)) for cell in cells)
    return [cell for cell, result in results if result is None or result["status"] == "failed"]


def forget_skipped(cells: Sequence[Cell], out: Path) -> list[Cell]:
    """Takes away the results of cells that were skipped, so that they are run again: what they lacked may be here now.

    Returns these cells.
    """
    skipped = [cell for cell in cells if (read_result(out, cell.key) or {}).get("status") == "skipped"]
    for cell in skipped:
        (out / "cells" / cell.key / RESULT).unlink()
    return skipped


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that can share a kernel, because they load the same things."""
    ordered = sorted(cells, key=lambda cell: cell.load_key)
    return [list(group) for _, group in itertools.groupby(ordered, key=lambda cell: cell.load_key)]


def run_sweep(
    experiment: Experiment,
    cells: Sequence[Cell],
    out: Path,
    progress: Callable[[int, int, str], None] | None = None,
    executor: Executor = serial,
    parent: Parent | None = None,
) -> Outcome:
    """`run_cells`, then `collect`."""
    run_cells(experiment, cells, out, progress, executor, parent)
    return collect(experiment, cells, out)


def run_cells(
    experiment: Experiment,
    cells: Sequence[Cell],
    out: Path,
    progress: Callable[[int, int, str], None] | None = None,
    executor: Executor = serial,
    parent: Parent | None = None,
) -> None:
    """Runs what is unfinished; `progress` is called with (cells done, cells to do, what was run last).

    parent: of `log_early`, where each setting is logged by the worker that finishes it.

    Writes `out/cells/<key>/result.json` per cell and `out/notebooks/<load key>.ipynb` per kernel.
    """
    todo = unfinished(cells, out)
    if todo:
        check_notebook(experiment.notebook)
        (out / "notebooks").mkdir(parents=True, exist_ok=True)
    settings = _settings(cells)
    tasks = [_kernel(experiment, group, out, settings, parent) for group in groups(todo)]
    done = 0
    try:
        for task in executor(run_kernel, tasks):
            done += len(task.calls)
            if progress is not None:
                progress(done, len(todo), task.name)
    except WorkersLost as lost:
        for task in lost.tasks:
            give_up(task, str(lost))


def log_early(
    experiment: Experiment, cells: Sequence[Cell], out: Path, root: Path, tracking_uri: str | None
) -> Parent | None:
    """The run under which workers log their settings; None where there is no server for them, or nothing to run."""
    if not is_server(tracking_uri) or not unfinished(cells, out):
        return None
    shown = Shown.of(_index(experiment, cells))
    return open_parent(root, experiment.experiment, [cell.key for cell in cells], shown, tracking_uri)


def collect(experiment: Experiment, cells: Sequence[Cell], out: Path) -> Outcome:
    """The results that lie in `out`, with `out/sweep.json` about them; raises RuntimeError where one is missing."""
    results = tuple(result for cell in cells if (result := result_of(cell, out)) is not None)
    if len(results) != len(cells):
        raise RuntimeError(f"{len(cells) - len(results)} of {len(cells)} cells in {out} have no result")
    write_json(out / "sweep.json", _index(experiment, cells))
    return Outcome(tuple(cells), results)


def _index(experiment: Experiment, cells: Sequence[Cell]) -> dict[str, Any]:
    settings = {cell.setting_key: cell.varied for cell in cells}
    return {
        "experiment": experiment.model_dump(),
        "people": {cell.person.name: cell.person.photo for cell in cells},
        "baseline": baseline_key(experiment, cells),
        "settings": [{"key": key, "varied": varied} for key, varied in settings.items()],
        "cells": [{"key": cell.key, "setting": cell.setting_key, "load": cell.load_key} for cell in cells],
    }


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
    return named({name: value for name, value in cell.varied.items() if not name.startswith("generation.")})


def _settings(cells: Sequence[Cell]) -> dict[str, Setting]:
    keys: dict[str, list[str]] = {}
    for cell in cells:
        keys.setdefault(cell.setting_key, []).append(cell.key)
    first = {cell.setting_key: cell for cell in reversed(cells)}
    return {key: Setting(key, first[key].varied, tuple(of), first[key].load_key) for key, of in keys.items()}


def _kernel(
    experiment: Experiment, group: Sequence[Cell], out: Path, settings: dict[str, Setting], parent: Parent | None
) -> Kernel:
    first = group[0]
    return Kernel(
        name=describe(first),
        notebook=str(Path(experiment.notebook).resolve()),
        executed=str((out / "notebooks" / f"{first.load_key}.ipynb").resolve()),
        settings=first.settings.model_dump(mode="json"),
        calls=tuple(cell.call for cell in group),
        out=str((out / "cells").resolve()),
        repeats=experiment.repeats,
        show_images=experiment.log_images,
        settings_of=tuple(settings[key] for key in dict.fromkeys(cell.setting_key for cell in group)),
        parent=parent,
    )


def finish(experiment: Experiment, outcome: Outcome, out: Path, root: Path, tracking_uri: str | None = None) -> Choice:
    """Chooses a setting, writes `out/chosen.json`, mirrors everything into MLflow and runs the comparing notebook.

    root: the folder that holds `mlruns/`. A sweep that was finished before is not compared or logged again, unless it
    is now judged otherwise. Where no setting passes, the settings written make no views.
    """
    asked = [baseline_key(experiment, outcome.cells), experiment.budget_gb, experiment.log_images, tracking_uri]
    content = json.dumps([outcome.results, asked, judging_version()], sort_keys=True)
    summary = {"results": hashlib.sha256(content.encode()).hexdigest()}
    done, noted, compared = out / "finished.json", out / "chosen.json", out / "compare.ipynb"
    made = [done, noted]
    if any(result["status"] == "finished" for result in outcome.results):
        made.append(compared)
    if tracking_uri is None:
        made.append(root / STORE)
    if all(path.is_file() for path in made) and json.loads(done.read_text(encoding="utf-8")) == summary:
        chosen = json.loads(noted.read_text(encoding="utf-8"))
        return Choice(chosen["key"], chosen["why"])
    found = evidence(outcome.results, baseline_key(experiment, outcome.cells), out / "cells")
    keeps = None if found.no_claim else found.passes
    choice = choose(outcome.results, keeps, experiment.budget_gb, baseline_key(experiment, outcome.cells))
    if found.no_claim:
        choice = replace(choice, why=f"{choice.why}; of people at large {found.no_claim.why}")
    write_json(noted, {"key": choice.key, "why": choice.why, "settings": _enrolled_with(choice, outcome)})
    from sdaug.tracking import log_sweep

    log_sweep(root, out, outcome.results, choice, tracking_uri)
    if compared in made:
        shown = {"results": str(out.resolve()), "show_images": experiment.log_images}
        execute(COMPARE, str(compared), shown)
    write_json(done, summary)
    return choice


def _enrolled_with(choice: Choice, outcome: Outcome) -> dict[str, Any]:
    """The chosen settings, JSON-able; where there are none, those that enrol the photo alone, by the same face pack."""
    if choice.key is not None:
        return by_setting(outcome.results)[choice.key][0]["settings"]
    return {"backend": "none", "pack": outcome.cells[0].settings.pack}
