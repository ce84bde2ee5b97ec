"""A sweep that is killed again and again, and started again: its results are those of one that nobody disturbed."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import nbformat
import psutil
import yaml

from sdaug.executors import executor
from sdaug.experiment import COMPARE, load_experiment
from sdaug.sweep import finish, run_sweep
from sdaug.tracking import PARENT_TAG, SETTING_TAG, read_runs

Victim = Literal["everything", "all but kernels", "coordinator"]
"""What a kill hits: all processes of the sweep, as when a machine goes down; all but its kernels, which notice a second
later that nobody is there; or the first process alone, whose workers, where it has any, go on with what they are at.
What was not hit is still at work when the sweep is started again."""

VICTIMS: tuple[Victim, ...] = get_args(Victim)

EXPERIMENT: dict[str, Any] = {
    "experiment": "killed",
    "photo": "astronaut",
    "notebook": "work.ipynb",
    "base": {"backend": "warp"},
    "grid": {"min_source_face_px": [60.0, 61.0], "generation.strength": [0.2, 0.4, 0.6]},
}
"""Two kernels of three cells each."""

_PARAMETERS = "settings = {}\ncalls = []\nout = '.'\nrepeats = 0\nshow_images = False"
_WORK = """
import pathlib
import time

from sdaug.record import write_json

for call in calls:
    folder = pathlib.Path(out) / call["key"]
    folder.mkdir(parents=True, exist_ok=True)
    strength = call["generation"]["strength"]
    started = time.perf_counter()
    with open(folder / "picture.png", "wb") as file:
        for _ in range(100):
            file.write(call["key"].encode() * 100)
            time.sleep(0.003)
    took = time.perf_counter() - started
    angle = {"index": 0, "accepted": True, "reasons": [], "similarity": {"dlib_resnet": strength}, "measured": None,
             "requested": {"yaw_deg": 0.0, "pitch_deg": 0.0}, "raw": None, "rung": "warp", "latency_s": took}
    write_json(folder / "result.json", {
        "schema": "x", "key": call["key"], "setting": call["setting"], "person": call["person"], "seed": 0,
        "status": "finished", "settings": settings | {"generation": call["generation"]}, "device": "here",
        "latency_s": {"import": 0.0, "load": 0.0, "first_call": took, "call": [took]},
        "record": {"angles": [angle], "pack": {"recognisers": ["dlib_resnet"], "files": {}}, "generator": {},
                   "source": {"sha256": ""},
                   "environment": {"packages": {}},
                   "memory": {"resident_peak_sampled": 1, "cuda_allocated_peak": None}},
    })
"""
"""In place of the product: a picture that is a third of a second in the making, then its result."""

CLOCKS = {"latency_s"}
"""What two runs of the same cell may differ in."""


def sweep_kills(kills: int = 20, seed: int = 0) -> dict[str, Any]:
    """kill -9 at that many random moments of a small sweep, each time resumed to its end; what differed from the
    undisturbed one."""
    chance = random.Random(seed)
    with TemporaryDirectory(prefix="sdaug-soak-") as place:
        whole = _fresh(Path(place) / "whole")
        started = time.monotonic()
        if problems := _finish(whole):
            raise RuntimeError(f"the undisturbed sweep: {problems}")
        seconds = time.monotonic() - started
        wanted, wrong, moments = _results(whole), {}, []
        if problems := run_problems(whole):
            wrong["undisturbed"] = problems
        while len(moments) < kills:
            folder = _fresh(Path(place) / str(len(moments)))
            moment, victim, where = (
                chance.uniform(0, seconds),
                chance.choice(VICTIMS),
                chance.choice(("serial", "loky")),
            )
            sweep = _start(folder, where)
            killed = _kill_at(sweep, moment, victim)
            if killed:
                moments.append(round(moment, 2))
                if problems := _finish(folder, where) or differences(wanted, _results(folder)) + run_problems(folder):
                    wrong[f"{where}, {victim} at {moment:.2f} s, {killed} processes"] = problems
                with suppress(ProcessLookupError):
                    os.killpg(sweep.pid, signal.SIGKILL)  # workers that are at their ease
            else:  # it had ended by itself: the machine has grown faster, and nothing was killed
                seconds = moment
            shutil.rmtree(folder)
    return {"passed": not wrong, "kills": len(moments), "undisturbed_s": round(seconds, 1), "moments_s": moments,
            "failed": len(wrong), "problems": wrong}  # fmt: skip


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Files and values in which two sweeps differ.

    >>> differences({"a": {"x": 1}}, {"a": {"x": 2}, "b": 1})
    ['b: not expected', 'a.x: 2 instead of 1']
    """
    said = [f"{name}: missing" for name in wanted if name not in found]
    said += [f"{name}: not expected" for name in found if name not in wanted]
    for name in wanted:
        if name in found and wanted[name] != found[name]:
            if isinstance(wanted[name], Mapping) and isinstance(found[name], Mapping):
                said += [f"{name}.{what}" for what in differences(wanted[name], found[name])]
            else:
                said.append(f"{name}: {found[name]!r} instead of {wanted[name]!r}"[:500])
    return said


def without_clocks(content: Any) -> Any:
    """JSON content without whatever a clock or a meter said."""
    if isinstance(content, dict):
        return {key: without_clocks(value) for key, value in content.items() if key not in CLOCKS}
    return [without_clocks(value) for value in content] if isinstance(content, list) else content


def run_problems(folder: Path) -> list[str]:
    """What is wrong with what MLflow was told: a run that runs, a sweep told twice, a setting that is not one run."""
    runs = read_runs(folder, EXPERIMENT["experiment"])
    said = [f"run {run['run_id']} is RUNNING" for run in runs if run["status"] == "RUNNING"]
    parents = [run for run in runs if PARENT_TAG not in run["tags"]]
    said += [f"{len(parents)} parents: {[run['status'] for run in parents]}"] if len(parents) != 1 else []
    said += [f"a parent is {run['status']}" for run in parents if run["status"] != "FINISHED"]
    settings = sorted(run["tags"][SETTING_TAG] for run in runs if PARENT_TAG in run["tags"])
    index = json.loads((folder / "out" / "sweep.json").read_text(encoding="utf-8"))
    asked = sorted(setting["key"] for setting in index["settings"])
    return said + ([f"runs of the settings {settings} instead of {asked}"] if settings != asked else [])


def _fresh(folder: Path) -> Path:
    (folder / "notebooks").mkdir(parents=True)
    _write_notebook(folder / EXPERIMENT["notebook"], _PARAMETERS, _WORK)
    _write_notebook(folder / COMPARE, "results = '.'\nshow_images = False", "print(results)")
    (folder / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT), encoding="utf-8")
    return folder


def _write_notebook(path: Path, parameters: str, work: str) -> None:
    code = nbformat.v4.new_code_cell
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [code(parameters, metadata={"tags": ["parameters"]}), code(work)]
    metadata = python | {"language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def _start(folder: Path, where: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sdaug.soak.sweep_kills", where]
    with open(folder / "log.txt", "ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def _finish(folder: Path, where: str = "serial") -> list[str]:
    """Runs the sweep to its end; the end of its log where it failed."""
    return [(folder / "log.txt").read_text(encoding="utf-8")[-2000:]] if _start(folder, where).wait() else []


def _kill_at(process: subprocess.Popen[bytes], seconds: float, victim: Victim) -> int:
    """How many processes of a sweep were killed, 0 where it had ended by itself."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        tree = psutil.Process(process.pid).children(recursive=True) if victim == "everything" else []
        if victim == "coordinator":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        for one in tree:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue  # it was in the group
        process.wait()
        return 1 + len(tree)
    return 0


def _results(folder: Path) -> dict[str, Any]:
    """All that a sweep has to say but clocks: results, pictures, vectors, and what was run."""
    found: dict[str, Any] = {}
    out = folder / "out"
    for path in sorted(out.glob("cells/*/*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".json":
            found[name] = without_clocks(json.loads(path.read_text(encoding="utf-8")))
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    found["sweep.json"] = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    found["chosen"] = json.loads((out / "chosen.json").read_text(encoding="utf-8"))["key"] is not None
    return found


def _sweep(where: str) -> None:
    """What `sdaug sweep` does, in the folder that this is started in. where: of `executors.executor`."""
    experiment, cells = load_experiment("experiment.yaml")
    out = Path.cwd() / "out"
    finish(experiment, run_sweep(experiment, cells, out, executor=executor(where)), out, Path.cwd())


if __name__ == "__main__":
    _sweep(sys.argv[1])
