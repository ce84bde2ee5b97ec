"""Sweeps on a notebook that stands in for the product: what fails is a result, what is finished never runs twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from sdaug.cells import Person
from sdaug.compare import Choice
from sdaug.executors import executor, loky, serial
from sdaug.experiment import Experiment, ExperimentError, expand
from sdaug.shown import without_pictures
from sdaug.sweep import Outcome, check_notebook, finish, forget_skipped, run_sweep, unfinished
from sdaug.tracking import read_runs

PARAMETERS = "settings = {}\ncalls = []\nout = '.'\nrepeats = 0\nshow_images = False"
WORK = """
import json, os, pathlib, signal, time
from sdaug.record import write_json

for call in calls:
    folder = pathlib.Path(out) / call["key"]
    folder.mkdir(parents=True, exist_ok=True)
    with open(pathlib.Path(out).parent / "ran.txt", "a") as log:
        log.write(call["person"] + "\\n")
    written = False
    exec(pathlib.Path(r"{trouble}").read_text())
    if written:
        continue
    head = {{name: call[name] for name in ("key", "setting", "person")}}
    write_json(folder / "result.json", head | {{"schema": "x", "seed": 0, "status": "finished", "settings": settings}})
"""
"""Of the product's notebook only what a sweep relies on: a result a call."""

PEOPLE = [Person(name, f"{name}.png", str(i) * 64) for i, name in enumerate(("ada", "bea", "cleo", "dora"))]


def notebook(*cells):
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=list(cells), metadata=python | {"language_info": {"name": "python"}})


@pytest.fixture
def made(tmp_path):
    """make(trouble, **experiment): an experiment whose notebook does `trouble` in every call, and its cells."""

    def make(trouble="pass", **content):
        code = nbformat.v4.new_code_cell
        parameters = code(PARAMETERS, metadata={"tags": ["parameters"]})
        # Beside the notebook, whose code belongs to a cell's key.
        (tmp_path / "trouble.py").write_text(trouble)
        book = notebook(parameters, code(WORK.format(trouble=tmp_path / "trouble.py")))
        nbformat.write(book, tmp_path / "work.ipynb")
        base = {"backend": "warp"}
        given = {"experiment": "x", "photo": "astronaut", "notebook": str(tmp_path / "work.ipynb"), "base": base}
        experiment = Experiment.model_validate(given | content)
        return experiment, expand(experiment, PEOPLE)

    return make


def statuses(outcome: Outcome) -> dict[str, str]:
    return {result["person"]: result["status"] for result in outcome.results}


def ran(out: Path) -> list[str]:
    return (out / "ran.txt").read_text().split()


KILL = "if call['person'] == '{}': os.kill(os.getpid(), signal.SIGKILL)"


def test_a_kernel_that_is_killed_costs_the_call_it_was_at_and_no_other(made, tmp_path):
    experiment, cells = made(KILL.format("bea"))
    outcome = run_sweep(experiment, cells, tmp_path / "out")
    assert statuses(outcome) == {"ada": "finished", "bea": "failed", "cleo": "finished", "dora": "finished"}
    (lost,) = [result for result in outcome.results if result["status"] == "failed"]
    assert "DeadKernelError" in lost["error"] and (tmp_path / "out/notebooks" / lost["notebook"]).is_file()
    assert sorted(ran(tmp_path / "out")) == ["ada", "bea", "cleo", "dora"]


def test_what_failed_runs_again_and_what_is_finished_does_not(made, tmp_path):
    experiment, cells = made(KILL.format("bea"))
    run_sweep(experiment, cells, tmp_path / "out")
    (tmp_path / "out" / "ran.txt").unlink()
    experiment, _ = made()
    assert set(statuses(run_sweep(experiment, cells, tmp_path / "out")).values()) == {"finished"}
    assert ran(tmp_path / "out") == ["bea"]


@pytest.mark.parametrize("error", [RuntimeError("Kernel died before replying"), FileNotFoundError("no notebook")])
def test_a_kernel_that_does_not_even_start_is_failed_rows(made, tmp_path, monkeypatch, error):
    def fails(*_):
        raise error

    experiment, cells = made()
    monkeypatch.setattr("sdaug.kernel.execute", fails)
    outcome = run_sweep(experiment, cells, tmp_path / "out")
    assert {result["error"] for result in outcome.results} == {f"{type(error).__name__}: {error}"}


def test_kernels_that_die_at_once_are_not_started_for_ever(made, tmp_path):
    experiment, cells = made("os.kill(os.getpid(), signal.SIGKILL)")
    outcome = run_sweep(experiment, cells, tmp_path / "out")
    assert set(statuses(outcome).values()) == {"failed"} and len(ran(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("error", "status"), [("RuntimeError('out of luck')", "failed"), ("LeverSkipped('no GPU')", "skipped")]
)
def test_an_error_while_loading_is_every_calls_result(made, tmp_path, error, status):
    trouble = f"class LeverSkipped(Exception): pass\nraise {error}"
    experiment, cells = made(trouble)
    outcome = run_sweep(experiment, cells, tmp_path / "out")
    assert set(statuses(outcome).values()) == {status} and ran(tmp_path / "out") == ["ada"]
    assert all(result["error"] == error.replace("('", ": ").replace("')", "") for result in outcome.results)
    assert outcome.failed == (4 if status == "failed" else 0)


def test_what_was_skipped_runs_again_only_when_that_is_asked_for(made, tmp_path):
    out, lacking = tmp_path / "out", "not (pathlib.Path(out).parent / 'here').exists()"
    experiment, cells = made(f"class LeverSkipped(Exception): pass\nif {lacking}: raise LeverSkipped('none here')")
    assert set(statuses(run_sweep(experiment, cells, out)).values()) == {"skipped"}
    (out / "here").touch()
    assert set(statuses(run_sweep(experiment, cells, out)).values()) == {"skipped"}
    assert forget_skipped(cells, out) == cells and unfinished(cells, out) == cells
    assert set(statuses(run_sweep(experiment, cells, out)).values()) == {"finished"}
    assert forget_skipped(cells, out) == [] and unfinished(cells, out) == []


def test_what_was_executed_before_stays_when_the_rest_runs_again(made, tmp_path):
    """Finished cells are among it, and nothing else shows how they came about."""
    out = tmp_path / "out"
    trouble = "if call['person'] == 'bea' and not (pathlib.Path(out).parent / 'mended').exists(): raise ValueError"
    experiment, cells = made(trouble)
    assert run_sweep(experiment, cells, out).failed
    before = {path: path.read_bytes() for path in (out / "notebooks").glob("*.ipynb")}
    (out / "mended").touch()
    assert not run_sweep(experiment, cells, out).failed
    after = {path: path.read_bytes() for path in (out / "notebooks").glob("*.ipynb")}
    assert before and before.items() < after.items()


def test_a_notebook_that_a_kill_has_cut_off_is_written_over(made, tmp_path):
    out = tmp_path / "out"
    experiment, cells = made()
    (out / "notebooks").mkdir(parents=True)
    cut_off = out / "notebooks" / f"{cells[0].load_key}.ipynb"
    cut_off.write_text('{"cells": [')
    assert not run_sweep(experiment, cells, out).failed
    assert [path.name for path in (out / "notebooks").glob("*.ipynb")] == [cut_off.name]
    assert nbformat.read(cut_off, 4).cells


def test_settings_that_load_differently_have_a_kernel_each_and_one_failing_leaves_the_other(made, tmp_path):
    trouble = "assert settings['strict'] is False"
    experiment, cells = made(trouble, grid={"strict": [True, False]})
    outcome = run_sweep(experiment, cells, tmp_path / "out")
    assert sorted(result["status"] for result in outcome.results) == ["failed"] * 4 + ["finished"] * 4
    assert len(list((tmp_path / "out/notebooks").glob("*.ipynb"))) == 2


def test_a_call_that_raises_names_the_executed_notebook_too(made, tmp_path):
    """`run_settings` writes such a result itself; which notebook that was, the kernel's caller knows."""
    failing = """
if call["person"] == "bea":
    write_json(folder / "result.json", {"status": "failed", "error": "ValueError: so", "person": "bea"})
    written = True
"""
    experiment, cells = made(failing)
    outcome = run_sweep(experiment, cells, tmp_path / "out")
    (lost,) = [result for result in outcome.results if result["status"] == "failed"]
    assert lost["error"] == "ValueError: so" and (tmp_path / "out/notebooks" / lost["notebook"]).is_file()
    assert all("notebook" not in result for result in outcome.results if result["status"] == "finished")


def test_a_sweep_in_which_nothing_was_finished_ends_with_its_failures(made, tmp_path, root, monkeypatch):
    experiment, cells = made("raise RuntimeError('broken')")
    outcome = run_sweep(experiment, cells, tmp_path / "out")
    assert set(statuses(outcome).values()) == {"failed"}
    monkeypatch.chdir(root)  # where the comparing notebook lies
    choice = finish(experiment, outcome, tmp_path / "out", tmp_path)
    assert choice.key is None and not (tmp_path / "out/compare.ipynb").exists()
    noted = json.loads((tmp_path / "out/chosen.json").read_text())
    assert noted["settings"] == {"backend": "none", "pack": "embedded"}
    runs = read_runs(tmp_path, "x")
    assert {run["status"] for run in runs} == {"FINISHED", "FAILED"} and len(runs) == 2


def test_a_finished_sweep_that_is_judged_otherwise_is_judged_again(made, tmp_path, monkeypatch):
    experiment, cells = made()
    outcome = run_sweep(experiment, cells, tmp_path / "out")
    monkeypatch.setattr("sdaug.sweep.evidence", lambda *_: SimpleNamespace(no_claim=None, passes=None))
    out = tmp_path / "out"
    monkeypatch.setattr("sdaug.sweep.execute", lambda _, executed, __: Path(executed).touch())
    (tmp_path / "mlruns").mkdir()
    monkeypatch.setattr("sdaug.tracking.log_sweep", lambda root, *_: (root / "mlruns/mlflow.db").touch())
    budgets = []
    monkeypatch.setattr("sdaug.sweep.choose", lambda _, __, gb, ___: budgets.append(gb) or Choice(None, f"of {gb}"))
    for budget in (None, None, 2.0, 2.0):
        asked = experiment.model_copy(update={"budget_gb": budget})
        assert finish(asked, outcome, tmp_path / "out", tmp_path).why == f"of {budget}"
    assert budgets == [None, 2.0], "once for each"
    for gone in (out / "chosen.json", out / "compare.ipynb", tmp_path / "mlruns/mlflow.db"):
        gone.unlink()
        finish(asked, outcome, out, tmp_path)
        assert gone.is_file(), "what somebody took away is made again"
    monkeypatch.setattr("sdaug.sweep.judging_version", lambda: "another")
    finish(asked, outcome, out, tmp_path)
    finish(asked, outcome, out, tmp_path)
    assert len(budgets) == 2 + 3 + 1, "and once by code that judges otherwise"


def test_whoever_is_called_otherwise_now_has_their_results_renamed_and_not_made_again(made, tmp_path):
    experiment, cells = made()
    run_sweep(experiment, cells, tmp_path / "out")
    names = {"ada": "p1", "bea": "ada"}  # another one has taken her name
    people = [replace(person, name=names.get(person.name, person.name)) for person in PEOPLE]
    outcome = run_sweep(experiment, expand(experiment, people), tmp_path / "out")
    told = {result["key"]: result["person"] for result in outcome.results}
    assert told == {cell.key: names.get(cell.person.name, cell.person.name) for cell in cells}
    on_disk = [json.loads(path.read_text())["person"] for path in (tmp_path / "out").glob("cells/*/result.json")]
    assert sorted(on_disk) == ["ada", "cleo", "dora", "p1"] and len(ran(tmp_path / "out")) == 4


def test_progress_counts_cells(made, tmp_path):
    experiment, cells = made(grid={"strict": [True, False]})
    seen = []
    run_sweep(experiment, cells, tmp_path / "out", lambda *state: seen.append(state))
    assert [(done, total) for done, total, _ in seen] == [(4, 8), (8, 8)]
    assert {what for _, _, what in seen} == {"strict True", "strict False"}


def test_pictures_stay_out_of_notebooks_unless_they_may_be_shown(made, tmp_path):
    picture = "from IPython.display import display, Image; display(Image(data=bytes(40), format='png'), 'words')"
    for show in (False, True):
        experiment, cells = made(picture, log_images=show)
        out = tmp_path / f"out-{show}"
        run_sweep(experiment, cells, out)
        (book,) = (out / "notebooks").glob("*.ipynb")
        assert ("image/png" in book.read_text()) is show and "words" in book.read_text()


def test_a_notebook_without_pictures_keeps_everything_else():
    outputs = [
        {"output_type": "display_data", "data": {"image/jpeg": "AA=="}},
        {"output_type": "display_data", "data": {"text/html": "<img src='data:image/png;base64,AA'>"}},
        {"output_type": "stream", "name": "stdout", "text": "kept"},
    ]
    cells = [{"cell_type": "code", "source": "1", "outputs": outputs}, {"cell_type": "markdown", "source": "m"}]
    bare = without_pictures({"cells": cells, "nbformat": 4})
    assert bare["cells"] == [cells[0] | {"outputs": outputs[2:]}, cells[1]] and bare["nbformat"] == 4
    assert len(outputs) == 3, "what was given is not changed"


def test_a_notebook_that_takes_something_else_is_refused(made, tmp_path):
    code = nbformat.v4.new_code_cell("settings = {}\nphotos = []", metadata={"tags": ["parameters"]})
    nbformat.write(notebook(code), tmp_path / "other.ipynb")
    with pytest.raises(ExperimentError, match=r"missing \['calls'.*unknown \['photos'\]"):
        check_notebook(str(tmp_path / "other.ipynb"))


# -- killed


SWEEP = """
import sys, json; from pathlib import Path
from sdaug.cells import Person
from sdaug.compare import Choice
from sdaug.executors import executor
from sdaug.experiment import Experiment, expand
from sdaug.sweep import run_sweep

people = [Person(name, f"{name}.png", str(i) * 64) for i, name in enumerate(("ada", "bea", "cleo", "dora"))]
experiment = Experiment(**json.loads(sys.argv[1]))
run_sweep(experiment, expand(experiment, people), Path(sys.argv[2]), executor=executor(sys.argv[3]))
"""


def killed_after_two(experiment, out: Path, where: str) -> None:
    """Starts a sweep and kills its first process once it has two results."""
    process = subprocess.Popen([sys.executable, "-c", SWEEP, experiment.model_dump_json(), str(out), where])
    until = time.monotonic() + 240
    while len(list(out.glob("cells/*/result.json"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_sweep_killed_in_the_middle_loses_the_cell_in_flight_at_most(made, tmp_path):
    experiment, cells = made("time.sleep(0.5)", grid={"strict": [True, False]})
    out = tmp_path / "out"
    killed_after_two(experiment, out, "serial")
    time.sleep(2.5)  # its kernel notices that its parent is gone
    before = {path: path.read_bytes() for path in out.glob("cells/*/result.json")}
    assert 2 <= len(before) < 8 and all(json.loads(content)["status"] == "finished" for content in before.values())
    assert len(unfinished(cells, out)) == 8 - len(before)
    outcome = run_sweep(experiment, cells, out)
    assert {result["status"] for result in outcome.results} == {"finished"}
    assert all(path.read_bytes() == content for path, content in before.items())
    assert 8 <= len(ran(out)) <= 9, "at most the cell in flight ran twice"


def test_workers_that_outlive_a_killed_sweep_are_waited_for_and_their_cells_not_run_again(made, tmp_path, caplog):
    held = """
while len(list(pathlib.Path(out).glob("*/result.json"))) >= 2 and not (pathlib.Path(out).parent / "go").exists():
    time.sleep(0.05)
"""
    experiment, cells = made(held, grid={"strict": [True, False]})
    out = tmp_path / "out"

    def lets_go() -> None:
        until = time.monotonic() + 60
        while "waiting for process" not in caplog.text and time.monotonic() < until:
            time.sleep(0.05)
        (out / "go").touch()

    killed_after_two(experiment, out, "loky")
    letting = threading.Thread(target=lets_go)
    letting.start()
    outcome = run_sweep(experiment, cells, out)
    letting.join()
    assert {result["status"] for result in outcome.results} == {"finished"}
    assert "waiting for process" in caplog.text and len(ran(out)) == 8, "each cell ran once"


# -- executors


@pytest.mark.parametrize("run", [serial, lambda function, tasks: loky(function, tasks, jobs=2)], ids=["serial", "loky"])
def test_every_executor_runs_every_task_once(run):
    assert sorted(run(os.path.basename, [f"/a/{i}" for i in range(7)])) == [str(i) for i in range(7)]


def test_loky_runs_kernels(made, tmp_path):
    experiment, cells = made(grid={"strict": [True, False]})
    outcome = run_sweep(experiment, cells, tmp_path / "out", executor=executor("loky", jobs=2))
    assert len(outcome.results) == 8 and {result["status"] for result in outcome.results} == {"finished"}


def test_an_unknown_executor_names_those_there_are():
    with pytest.raises(ValueError, match="unknown executor 'ray'; there are: serial, loky, dask"):
        executor("ray")
