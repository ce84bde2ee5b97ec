"""The two evaluation notebooks on a few real photographs; `make test` also runs them without any."""

import nbformat
import papermill
import pytest


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
