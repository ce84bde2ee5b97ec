"""One kernel of a sweep: a notebook executed for some calls, and a result for each of them whatever happens."""

import itertools
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdaug.alone import LOCK, alone
from sdaug.config import RunSettings
from sdaug.run import RESULT, failed, write_result
from sdaug.shown import without_pictures
from sdaug.tracking import Parent, Setting, log_setting_early

log = logging.getLogger("sdaug.sweep")

BARREN = 2
"""Kernels in a row that may die without a result before the calls that are left are given up."""


@dataclass(frozen=True)
class Kernel:
    """What is to be run in one kernel; plain values only, so that it can be sent to another machine.

    executed: path of the executed notebook. settings: of RunSettings, JSON-able. calls: as `Cell.call` has them. out:
    the folder of the results. settings_of: those that the calls belong to. parent: where they are logged as soon as
    they are finished, None for not yet.
    """

    name: str
    notebook: str
    executed: str
    settings: dict[str, Any]
    calls: tuple[dict[str, Any], ...]
    out: str
    repeats: int
    show_images: bool
    settings_of: tuple[Setting, ...] = ()
    parent: Parent | None = None


def run_kernel(task: Kernel) -> Kernel:
    """Executes the notebook for every call without a result and returns `task`; afterwards each call has one.

    Where the kernel dies, the call it was at has failed, and a fresh kernel runs those after it. Where a worker of a
    sweep that was killed is still at these calls, it is waited for, and what it finishes is not run again.
    """
    with alone(Path(task.executed).with_suffix(LOCK), wait=True):
        _run_calls(task)
        if task.parent is not None:
            for setting in task.settings_of:
                log_setting_early(task.parent, setting, Path(task.out).parent)
    return task


def _run_calls(task: Kernel) -> None:
    out = Path(task.out)
    left = [call for call in task.calls if _cleared(out / call["key"] / RESULT)]
    barren = 0
    while left:
        executed = _free(task.executed)
        error, died = _execute(task, left, executed)
        before, left = left, [call for call in left if not (out / call["key"] / RESULT).is_file()]
        _name_notebook(out, [call for call in before if call not in left], Path(executed).name)
        if not left:
            break
        barren = barren + 1 if len(left) == len(before) else 0
        lost = left[:1] if died and barren < BARREN else left
        status = "skipped" if error.startswith("LeverSkipped") else "failed"
        log.warning("%s: %d of %d calls %s: %s", task.name, len(lost), len(task.calls), status, error)
        for call in lost:
            result = failed(call, RunSettings(**task.settings), status, error, notebook=Path(executed).name)
            write_result(out / call["key"], result)
        left = left[len(lost) :]


def _name_notebook(out: Path, calls: Sequence[Mapping[str, Any]], executed: str) -> None:
    """Writes into the results of those calls that failed which executed notebook shows it."""
    for call in calls:
        result = json.loads((out / call["key"] / RESULT).read_text(encoding="utf-8"))
        if result["status"] == "failed" and "notebook" not in result:
            write_result(out / call["key"], result | {"notebook": executed})


def give_up(task: Kernel, why: str) -> None:
    """Every call of `task` that has no result has failed."""
    for call in task.calls:
        if _cleared(Path(task.out) / call["key"] / RESULT):
            write_result(Path(task.out) / call["key"], failed(call, RunSettings(**task.settings), "failed", why))


def _cleared(path: Path) -> bool:
    """Whether there is no result at `path`; that of an earlier failure is taken away."""
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["status"] == "failed":
        path.unlink()
    return not path.exists()


def execute(notebook: str, executed: str, parameters: dict[str, Any]) -> None:
    """Runs a notebook in a fresh kernel; the executed copy is written whether or not it succeeds."""
    import papermill
    from traitlets.config import Config as Traits

    # Socket files that only this user may open, instead of TCP ports: nobody else on the machine can read or drive the
    # kernel. A folder for each, since all kernels would take the same name.
    with tempfile.TemporaryDirectory(prefix="sdaug-") as sockets:
        local = Traits({"KernelManager": {"transport": "ipc", "ip": str(Path(sockets) / "kernel")}})
        papermill.execute_notebook(
            notebook, executed, parameters, kernel_name="python3", progress_bar=False, config=local
        )


def _execute(task: Kernel, calls: Sequence[dict[str, Any]], executed: str) -> tuple[str, bool]:
    """(what went wrong, or "", whether it was the kernel that died)."""
    from papermill.exceptions import PapermillExecutionError

    parameters = {
        "settings": task.settings,
        "calls": list(calls),
        "out": task.out,
        "repeats": task.repeats,
        "show_images": task.show_images,
    }
    try:
        execute(task.notebook, executed, parameters)
        return "the notebook ended without a result", False
    except PapermillExecutionError as error:
        return re.sub(r"\x1b\[[0-9;]*m", "", f"{error.ename}: {error.evalue}"), False
    except Exception as error:  # the kernel died, did not start, or could not be written about: rows, and on
        return f"{type(error).__name__}: {error}", True
    finally:
        if not task.show_images and Path(executed).is_file():
            _strip(Path(executed))


def _strip(path: Path) -> None:
    draft = path.with_name(path.name + ".part")
    content = without_pictures(json.loads(path.read_text(encoding="utf-8")))
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def _free(executed: str) -> str:
    """The path, or where a notebook lies there the first free one of those with a number: what earlier kernels executed
    stays, for finished cells are among it. One that a kill has cut off is none."""
    path, last = Path(executed), None
    numbered = (path.with_name(f"{path.stem}-{number}.ipynb") for number in itertools.count(2))
    for one in itertools.chain([path], numbered):
        if not one.exists():
            # Only the last can be cut off: the kernel after it has written it over.
            return str(one if last is None or _whole(last) else last)
        last = one
    raise AssertionError("numbers do not end")


def _whole(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        return False
