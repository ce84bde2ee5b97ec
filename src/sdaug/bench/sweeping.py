"""What a sweep adds to the work it runs: cells of ten milliseconds that do nothing else, then the same sweep again."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import yaml

from sdaug.cells import Person
from sdaug.experiment import COMPARE, Experiment, expand
from sdaug.measure.environment import provenance
from sdaug.sweep import groups, run_sweep

WORK_S = 0.01
VALIDATED = 10_000
_PARAMETERS = "settings = {}\ncalls = []\nout = '.'\nrepeats = 0\nshow_images = False"
_WORK = f"""
import pathlib
import time

from sdaug.record import write_json

for call in calls:
    time.sleep({WORK_S})
    folder = pathlib.Path(out) / call["key"]
    folder.mkdir(parents=True, exist_ok=True)
    head = {{name: call[name] for name in ("key", "setting", "person")}}
    angle = {{"index": 0, "accepted": True, "reasons": [], "similarity": {{"dlib_resnet": 0.5}}, "measured": None,
             "requested": {{"yaw_deg": 0.0, "pitch_deg": 0.0}}, "raw": None, "rung": "warp", "latency_s": 0.01}}
    write_json(folder / "result.json", head | {{
        "seed": call["generation"]["seed"], "status": "finished",
        "settings": settings | {{"generation": call["generation"]}}, "device": "here",
        "latency_s": {{"import": 0.0, "load": 0.0, "first_call": 0.01, "call": [0.01]}},
        "record": {{"angles": [angle], "pack": {{"recognisers": ["dlib_resnet"], "files": {{}}}}, "generator": {{}},
                   "source": {{"sha256": ""}},
                   "environment": {{"packages": {{}}}},
                   "memory": {{"resident_peak_sampled": 1, "cuda_allocated_peak": None}}}},
    }})
"""

_NOBODY = Person("nobody", "nobody.png", "0" * 64)

LIMITS = {
    "validating_s": 2.0, "overhead_a_cell_s": 0.06, "whole_overhead_a_cell_s": 0.06,
    "whole_overhead_a_setting_s": 0.06, "whole_again_s": 3.0,
}  # fmt: skip
"""What `in_time` compares with."""


def bench_sweep(cells: int = 200, kernels: int = 2) -> dict[str, Any]:
    """Seconds, JSON-able: expanding and validating 10 000 cells of diffusion with levers; overhead a cell, what as many
    kernels take for one cell each being taken off; a finished sweep run again.

    Once of the cells alone, each a setting; then, as `whole_`, of `sdaug sweep` with all it does, processes started,
    settings compared and logged to MLflow: a cell where each setting has ten, and where each cell is a setting and so a
    run of MLflow's.
    """
    facts: dict[str, Any] = {"schema": "sdaug.bench.sweep/4"} | provenance()
    facts |= {"cells": cells, "kernels": kernels, "work_s": WORK_S, "validated": VALIDATED}
    with TemporaryDirectory(prefix="sdaug-") as folder:
        facts["validating_s"] = _timed(lambda: expand(_diffusion(), [_NOBODY], code=lambda notebook: ""))
        few, many = (_experiment(Path(folder), count, kernels) for count in (kernels, cells))
        starting = _timed(lambda: run_sweep(few[0], expand(*few), Path(folder) / "few"))
        made = expand(*many)
        assert (len(made), len(groups(made))) == (cells, kernels)
        running = _timed(lambda: run_sweep(many[0], made, Path(folder) / "many"))
        facts["overhead_a_cell_s"] = (running - starting) / (cells - kernels) - WORK_S
        facts["again_s"] = _timed(lambda: run_sweep(many[0], expand(*many), Path(folder) / "many"))
        facts |= _whole(Path(folder), cells, kernels)
    facts["in_time"] = {name: facts[name] <= limit for name, limit in LIMITS.items()}
    return facts


def _whole(folder: Path, cells: int, kernels: int) -> dict[str, float]:
    seeds = min(10, cells // kernels)
    few = _folder(folder / "whole-few", kernels, kernels, 1)
    many = _folder(folder / "whole-many", cells // seeds, kernels, seeds)
    starting, running = _timed(lambda: _sweep(few)), _timed(lambda: _sweep(many))
    wide = _folder(folder / "whole-wide", cells, kernels, 1)
    spreading = _timed(lambda: _sweep(wide))
    return {
        "whole_overhead_a_cell_s": (running - starting) / (cells - kernels) - WORK_S,
        "whole_overhead_a_setting_s": (spreading - starting) / (cells - kernels) - WORK_S,
        "whole_again_s": _timed(lambda: _sweep(wide)),
    }


def _folder(folder: Path, settings: int, kernels: int, seeds: int) -> Path:
    """Where `_sweep` runs: the experiment's file, its notebook, and one in place of the comparing one."""
    (folder / "notebooks").mkdir(parents=True)
    content = _experiment(folder, settings, kernels)[0].model_dump(exclude_defaults=True)
    (folder / "x.yaml").write_text(yaml.safe_dump(content | {"seeds": list(range(seeds))}), encoding="utf-8")
    nbformat.write(_book("results = '.'\nshow_images = False", "print(results)"), folder / COMPARE)
    return folder


def _sweep(folder: Path) -> None:
    command = [sys.executable, "-m", "sdaug", "sweep", "x.yaml", "--out", "out"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _book(parameters: str, work: str) -> Any:
    code = nbformat.v4.new_code_cell
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(
        cells=[code(parameters, metadata={"tags": ["parameters"]}), code(work)],
        metadata=python | {"language_info": {"name": "python"}},
    )


def _experiment(folder: Path, cells: int, kernels: int) -> tuple[Experiment, list[Person]]:
    """`cells` cells, of as many settings, in `kernels` kernels."""
    nbformat.write(_book(_PARAMETERS, _WORK), folder / "work.ipynb")
    strengths = [round((i + 1) / (cells // kernels), 6) for i in range(cells // kernels)]
    grid = {"min_source_face_px": [60.0 + i for i in range(kernels)], "generation.strength": strengths}
    experiment = Experiment(
        experiment="bench", photo="astronaut", notebook=str(folder / "work.ipynb"), base={"backend": "warp"}, grid=grid
    )
    return experiment, [_NOBODY]


def _diffusion() -> Experiment:
    """`VALIDATED` cells with levers."""
    levers = {
        "levers.attention_slicing": [None, {"slice_size": "max"}], "levers.vae_slicing": [None, {}],
        "levers.precision": [{"dtype": "float32"}, {"dtype": "bfloat16"}],
    }  # fmt: skip
    steps = {"generation.num_inference_steps": list(range(2, 52)), "generation.num_angles": list(range(1, 6))}
    grid = levers | steps | {"generation.strength": [0.2, 0.4, 0.6, 0.8, 1.0]}
    base = {"model": {"model_id": "random", "device": "cpu"}}
    return Experiment(experiment="bench", photo="astronaut", base=base, grid=grid)


def _timed(action: Any) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
