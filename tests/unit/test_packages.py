"""docs/architecture.md names, for each package the user asked for, what uses it and what reaches it: it is so."""

import re

import pytest

NAMED = (
    "jupyterlab papermill diffusers transformers accelerate controlnet-aux torch insightface opencv-python "
    "scikit-learn matplotlib pandas mlflow pytest nbval"
).split()
WORDS = {
    "jupyterlab": "jupyter lab", "opencv-python": "import cv2", "scikit-learn": "from sklearn",
    "controlnet-aux": "controlnet_aux", "insightface": "from insightface", "mlflow": "from mlflow",
    "papermill": "papermill.execute_notebook", "torch": "import torch", "matplotlib": "from matplotlib",
    "pandas": "import pandas", "diffusers": "diffusers", "transformers": "transformers", "pytest": "pytest",
    "nbval": "--nbval", "accelerate": "from accelerate",
}  # fmt: skip
"""What a file that uses the package says."""


@pytest.fixture(scope="module")
def rows(root):
    text = (root / "docs/architecture.md").read_text(encoding="utf-8")
    table = text[text.index("## The packages the user named") :]
    return {cells[0]: cells[1:] for cells in re.findall(r"^\| ([\w, -]+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)}


def test_every_named_package_has_its_row(rows):
    listed = {name.strip() for key in rows for name in key.split(",")} - {"package"}
    assert listed == set(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_the_row_names_uses_the_package(rows, root, name):
    (row,) = (cells for key, cells in rows.items() if name in [part.strip() for part in key.split(",")])
    paths = re.findall(r"`([\w/]+(?:\.\w+)?)/?`", " ".join(row))
    files = [path for given in paths for path in (root / given, root / "src/sdaug" / given) if path.is_file()]
    files.append(root / "Makefile")
    assert any(WORDS[name] in path.read_text(encoding="utf-8") for path in files), (name, [str(f) for f in files])
    for given in paths:
        if given.startswith("tests/"):
            assert (root / given).exists(), given
