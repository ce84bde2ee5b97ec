"""A sweep on several machines: workers that log to one MLflow server, and die."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from sdaug.cli.executor_options import chosen_executor
from sdaug.executors import NoWorkers, WorkersLost, executor, loky
from sdaug.sweep import finish, log_early, run_sweep
from sdaug.tracking import PARENT_TAG, SETTING_TAG, check_store, read_runs
from tests.unit.test_search import WORK as MEASURED
from tests.unit.test_sweep import PARAMETERS, PEOPLE, notebook, ran

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URI of an `mlflow server` of its own."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [
        str(Path(sys.executable).parent / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
        "--workers", "1",
    ]  # fmt: skip
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while True:
            try:
                with urlopen(f"{uri}/health", timeout=5):
                    break
            except URLError as error:
                if time.monotonic() > until or process.poll() is not None:
                    raise RuntimeError((folder / "log.txt").read_text()) from error
                time.sleep(0.5)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def measured(tmp_path):
    """An experiment of four settings in two kernels on two people, whose results have every figure; and its cells."""
    import nbformat

    from sdaug.experiment import Experiment, expand

    code = nbformat.v4.new_code_cell
    trouble = f"import os, time; open('{tmp_path}/pids.txt', 'a').write(str(os.getppid()) + '\\n'); time.sleep(0.3)"
    work = MEASURED.format(trouble=trouble).replace('"own"', '"dlib_resnet"')
    cells = [code(PARAMETERS, metadata={"tags": ["parameters"]}), code(work)]
    nbformat.write(notebook(*cells), tmp_path / "work.ipynb")
    experiment = Experiment.model_validate(
        {
            "experiment": "fleet", "photo": "astronaut", "notebook": str(tmp_path / "work.ipynb"),
            "base": {"backend": "warp"}, "grid": {"strict": [True, False], "generation.strength": [0.2, 0.4]},
        }
    )  # fmt: skip
    return experiment, expand(experiment, PEOPLE[:2])


@pytest.fixture(scope="module")
def cluster():
    """The address of a scheduler with two workers, which come back when they are killed."""
    import dask
    from distributed import LocalCluster

    # A local cluster ends a worker that is not back in 15 seconds; nobody does that to one of `dask worker`.
    patient = {"distributed.deploy.lost-worker-timeout": "10 minutes", "distributed.scheduler.allowed-failures": 1}
    with (
        dask.config.set(patient),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", resources={"GPU": 1}
        ) as made,
    ):
        yield made.scheduler_address


def kill_the_first(pids: Path) -> None:
    """Of the processes that write their parents' ids there, the parent of the one that writes first."""
    until = time.monotonic() + 60
    while not (pids.is_file() and pids.read_text().count("\n") >= 2) and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(int(pids.read_text().split("\n")[0]), signal.SIGKILL)


def children(uri: str, name: str) -> dict[str, list[dict]]:
    """The child runs of an experiment on a server by setting."""
    found: dict[str, list[dict]] = {}
    for run in read_runs(Path(), name, uri):
        if PARENT_TAG in run["tags"]:
            found.setdefault(run["tags"][SETTING_TAG], []).append(run)
    return found


def test_workers_log_their_settings_to_one_server_and_one_of_them_is_killed(
    measured, server, cluster, tmp_path, root, monkeypatch
):
    experiment, cells = measured
    settings = {cell.setting_key for cell in cells}
    parent = log_early(experiment, cells, tmp_path / "out", tmp_path, server)
    killer = threading.Thread(target=kill_the_first, args=(tmp_path / "pids.txt",))
    killer.start()
    where = executor("dask", scheduler=cluster, resources={"GPU": 1})
    outcome = run_sweep(experiment, cells, tmp_path / "out", executor=where, parent=parent)
    killer.join()
    assert [result["status"] for result in outcome.results] == ["finished"] * 8
    keys = [json.loads(path.read_text())["key"] for path in (tmp_path / "out").glob("cells/*/result.json")]
    assert sorted(keys) == sorted(cell.key for cell in cells)
    assert 8 <= len(ran(tmp_path / "out")) <= 9, "what the killed worker had finished was not run again"

    early = children(server, "fleet")
    assert set(early) == settings and all(len(runs) == 1 for runs in early.values()), "before the coordinator logs"
    assert {runs[0]["status"] for runs in early.values()} == {"FINISHED"}
    assert {run["status"] for run in read_runs(tmp_path, "fleet", server)} == {"FINISHED", "KILLED"}, "parent: not yet"

    monkeypatch.chdir(root)  # where the comparing notebook lies
    finish(experiment, outcome, tmp_path / "out", tmp_path, server)
    after = read_runs(tmp_path, "fleet", server)
    assert len(after) == 1 + len(settings) and {run["status"] for run in after} == {"FINISHED"}
    ids = {key: runs[0]["run_id"] for key, runs in children(server, "fleet").items()}
    assert ids == {key: runs[0]["run_id"] for key, runs in early.items()}, "what workers logged is not logged again"
    assert not (tmp_path / "mlruns").exists()
    assert log_early(experiment, cells, tmp_path / "out", tmp_path, server) is None, "nothing is left to run"


def test_a_server_that_goes_away_costs_a_warning_and_the_end_logs_what_is_missing(measured, server, tmp_path, caplog):
    from dataclasses import replace

    from sdaug.compare import Choice
    from sdaug.tracking import log_sweep

    experiment, cells = measured
    experiment = experiment.model_copy(update={"experiment": "away"})
    parent = log_early(experiment, cells, tmp_path / "out", tmp_path, server)
    assert parent is not None
    gone = replace(parent, uri="http://127.0.0.1:9")
    outcome = run_sweep(experiment, cells, tmp_path / "out", parent=gone)
    assert "is not logged yet" in caplog.text and not children(server, "away")
    log_sweep(tmp_path, tmp_path / "out", outcome.results, Choice(None, "none"), server)
    assert len(children(server, "away")) == 4 and len(read_runs(tmp_path, "away", server)) == 5


def test_what_failed_and_ran_again_is_still_one_run(measured, server, tmp_path):
    from sdaug.tracking import Setting, log_setting

    experiment, cells = measured
    experiment = experiment.model_copy(update={"experiment": "again"})
    out = tmp_path / "out"
    parent = log_early(experiment, cells, out, tmp_path, server)
    assert parent is not None
    outcome = run_sweep(experiment, cells, out)
    key = cells[0].setting_key
    setting = Setting(key, {}, tuple(cell.key for cell in cells if cell.setting_key == key), cells[0].load_key)
    path = out / "cells" / setting.cells[0] / "result.json"
    whole = path.read_text()
    bad = {k: v for k, v in json.loads(whole).items() if k not in ("latency_s", "record")}
    path.write_text(json.dumps(bad | {"status": "failed", "error": "out of luck"}))
    first = log_setting(parent, setting, out)
    assert [run["status"] for run in children(server, "again")[key]] == ["FAILED"]
    path.write_text(whole)
    assert log_setting(parent, setting, out) == first
    (run,) = children(server, "again")[key]
    assert run["status"] == "FINISHED" and run["tags"]["sdaug.error"] == "" and len(outcome.results) == 8


@pytest.mark.parametrize(
    ("uri", "message"),
    [("http://127.0.0.1:9", "no MLflow server answers at http://127.0.0.1:9"), ("mlruns", "'mlruns' is no tracking")],
)
def test_a_store_that_cannot_be_logged_to_is_named_before_anything_runs(uri, message):
    with pytest.raises(ValueError, match=message):
        check_store(uri)


def test_a_server_that_takes_no_calls_under_this_name_is_named_before_anything_runs(server):
    check_store(server)
    with pytest.raises(ValueError, match="takes no calls under this name; start it with --allowed-hosts gpu-box:5000"):
        check_store(server, host="gpu-box:5000")


def test_workers_let_go_at_the_end_of_what_they_have_loaded(cluster):
    def load() -> None:
        import sys

        sys.sdaug_loaded = True

    def let_go() -> None:
        import sys

        del sys.sdaug_loaded

    def loaded() -> bool:
        import sys

        return hasattr(sys, "sdaug_loaded")

    from distributed import Client

    with Client(cluster) as client:
        client.run(load)
        assert list(executor("dask", scheduler=cluster)(abs, [1])) == [1] and all(client.run(loaded).values())
        assert list(executor("dask", scheduler=cluster, after=let_go)(abs, [1])) == [1]
        assert not any(client.run(loaded).values())
        assert list(executor("dask", scheduler=cluster, after=let_go)(abs, [1])) == [1], (
            "what fails there costs nothing"
        )


def test_a_fleet_that_cannot_take_a_task_is_named(cluster):
    with pytest.raises(NoWorkers, match=r"no worker of .* offers {'GPU': 2.0}; they offer \[{'GPU': 1}"):
        list(executor("dask", scheduler=cluster, resources={"GPU": 2.0})(abs, [1]))
    with pytest.raises(NoWorkers, match="no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        list(executor("dask", scheduler="tcp://127.0.0.1:9")(abs, [1]))


def test_a_task_that_kills_its_process_is_lost_and_no_other_is(cluster):
    def deadly(task: int) -> int:  # in here, so that it is sent whole and no worker imports this file
        if task == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    for run in (lambda f, tasks: loky(f, tasks, jobs=2), executor("dask", scheduler=cluster)):
        done = []
        with pytest.raises(WorkersLost) as lost:
            for one in run(deadly, list(range(8))):
                done.append(one)
        assert lost.value.tasks == [3] and sorted(done) == [0, 1, 2, 4, 5, 6, 7]


def test_lost_tasks_are_failed_rows(measured, tmp_path):
    experiment, cells = measured

    def loses_the_first(function, tasks):
        yield from map(function, tasks[1:])
        raise WorkersLost(tasks[:1])

    outcome = run_sweep(experiment, cells, tmp_path / "out", executor=loses_the_first)
    assert sorted(result["status"] for result in outcome.results) == ["failed"] * 4 + ["finished"] * 4
    assert {result["error"] for result in outcome.results if result["status"] == "failed"} == {
        "whatever process ran it was killed"
    }


def test_several_processes_do_not_share_a_gpu(monkeypatch):
    monkeypatch.setattr("sdaug.measure.environment.device_class", lambda device: "Orin")
    with pytest.raises(ValueError, match="--jobs 2 tasks would share one GPU"):
        chosen_executor("loky", 2, None, (), gpu=True)
    assert chosen_executor("loky", 2, None, (), gpu=False) and chosen_executor("loky", 1, None, (), gpu=True)
    assert chosen_executor("dask", 1, "tcp://x:1", (), gpu=True).keywords["resources"] == {"GPU": 1}
    assert chosen_executor("dask", 1, "tcp://x:1", ("GPU=0.5",), gpu=True).keywords["resources"] == {"GPU": 0.5}
    with pytest.raises(ValueError, match="'GPU'; expected a name and a number"):
        chosen_executor("dask", 2, "tcp://x:1", ("GPU",), gpu=True)
