"""What a sweep adds to the work it runs: cells of ten milliseconds that do nothing else, then the same sweep again."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat

from sdaug.cells import Person
from sdaug.experiment import Experiment, expand
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
    write_json(folder / "result.json", head | {{"seed": 0, "status": "finished", "settings": settings}})
"""


def bench_sweep(cells: int = 200, kernels: int = 2) -> dict[str, Any]:
    """Seconds, JSON-able: expanding and validating 10 000 cells; overhead a cell, what the same number of kernels takes
    for one cell each being taken off; a finished sweep run again."""
    facts: dict[str, Any] = {"schema": "sdaug.bench.sweep/1"} | provenance()
    facts |= {"cells": cells, "kernels": kernels, "work_s": WORK_S, "validated": VALIDATED}
    with TemporaryDirectory(prefix="sdaug-") as folder:
        facts["validating_s"] = _timed(lambda: expand(*_experiment(Path(folder), VALIDATED, 1)))
        few, many = (_experiment(Path(folder), count, kernels) for count in (kernels, cells))
        starting = _timed(lambda: run_sweep(few[0], expand(*few), Path(folder) / "few"))
        made = expand(*many)
        assert (len(made), len(groups(made))) == (cells, kernels)
        running = _timed(lambda: run_sweep(many[0], made, Path(folder) / "many"))
        facts["overhead_a_cell_s"] = (running - starting) / (cells - kernels) - WORK_S
        facts["again_s"] = _timed(lambda: run_sweep(many[0], expand(*many), Path(folder) / "many"))
    return facts


def _experiment(folder: Path, cells: int, kernels: int) -> tuple[Experiment, list[Person]]:
    """`cells` cells, of as many settings, in `kernels` kernels."""
    code = nbformat.v4.new_code_cell
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    book = nbformat.v4.new_notebook(
        cells=[code(_PARAMETERS, metadata={"tags": ["parameters"]}), code(_WORK)],
        metadata=python | {"language_info": {"name": "python"}},
    )
    nbformat.write(book, folder / "work.ipynb")
    strengths = [round((i + 1) / (cells // kernels), 6) for i in range(cells // kernels)]
    grid = {"min_source_face_px": [60.0 + i for i in range(kernels)], "generation.strength": strengths}
    experiment = Experiment(
        experiment="bench", photo="astronaut", notebook=str(folder / "work.ipynb"), base={"backend": "warp"}, grid=grid
    )
    return experiment, [Person("nobody", "nobody.png", "0" * 64)]


def _timed(action: Any) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
