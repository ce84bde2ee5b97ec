"""Notebooks executed by papermill with small parameters, then again by nbval, which compares what must not change.

`make test-notebooks` does the same for those that a sweep executes and for truth, gain and plan without photographs.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from sdaug.soak.report_size import write_sweep

pytestmark = pytest.mark.slow


def pictures(notebook) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize(
    ("name", "folder", "parameters", "at_least"),
    [
        ("truth", "head3d", {"head3d": "{}", "limit": 3}, 4),
        ("gain", "turning", {"faces": "{}", "limit": 3, "replicates": 100}, 4),
    ],
    ids=["truth", "gain"],
)
def test_a_notebook_shows_its_pictures_of_real_photographs(name, folder, parameters, at_least, root, faces, tmp_path):
    given = {key: str(faces / folder) if value == "{}" else value for key, value in parameters.items()}
    done = tmp_path / f"{name}.ipynb"
    papermill.execute_notebook(
        root / "notebooks" / f"{name}.ipynb", done, given, kernel_name="python3", progress_bar=False
    )
    assert pictures(nbformat.read(done, 4)) >= at_least


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> str:
    """A made-up sweep on twenty people, enough of them for a claim."""
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder, people=20, steps=(4, 50), angles=3)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("tour", {"num_angles": 1, "step_counts": [2]}, "1 angles, True"),
        ("quality", {"results": "{sweep}", "threshold": 0.5}, "2 measures; 72 errors among 120 images"),
        ("enrol", {"num_angles": 1, "press": True}, "vectors: 2"),
    ],
    ids=["tour", "quality", "enrol"],
)
def test_a_notebook_runs_and_says_the_same_when_it_is_run_again(name, parameters, says, root, sweep, tmp_path):
    given = {key: sweep if value == "{sweep}" else value for key, value in parameters.items()}
    if name in ("tour", "enrol"):
        given["out"] = str(tmp_path / "bundle")
    done = tmp_path / f"{name}.ipynb"
    papermill.execute_notebook(
        root / "notebooks" / f"{name}.ipynb", done, given, kernel_name="python3", progress_bar=False
    )
    compared = [
        cell for cell in nbformat.read(done, 4).cells if "nbval-ignore-output" not in cell.metadata.get("tags", [])
    ]
    printed = "".join(output.get("text", "") for cell in compared for output in cell.get("outputs", []))
    assert says in printed, printed
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-q",
        "-p",
        "no:cacheprovider",
        str(done),
    ]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout[-3000:]


def test_notebooks_opened_by_hand_start_where_their_paths_begin(root):
    """`make lab` shows notebooks/, where a kernel would start otherwise and find no build/demo."""
    from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

    said = subprocess.run(["make", "--dry-run", "lab"], cwd=root, capture_output=True, text=True, check=True).stdout
    said_root = re.search(r"--MappingKernelManager\.root_dir=(\S+)", said)
    assert said_root is not None
    assert Path(MappingKernelManager(root_dir=said_root[1]).cwd_for_path("compare.ipynb")) == root
