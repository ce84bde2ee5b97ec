"""Notebooks in the repository: sources without outputs but for the tour, each with its parameters explained."""

import ast
import json
from pathlib import Path

import papermill
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def notebook(request):
    return request.param.stem, json.loads(request.param.read_text(encoding="utf-8"))


def test_only_the_tour_has_outputs(notebook):
    name, content = notebook
    outputs = [cell["outputs"] for cell in content["cells"] if cell.get("outputs")]
    assert bool(outputs) is (name == "tour")


def test_the_parameters_are_typed_and_each_has_its_comment(notebook):
    _, content = notebook
    (cell,) = [cell for cell in content["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    starts = [line for line in "".join(cell["source"]).splitlines() if line and line[0] not in " ])}"]
    assert starts and all(": " in line.split("=")[0] and "  # " in line for line in starts), starts


def test_papermill_sees_every_parameter_with_its_type(notebook):
    """It reads neither `float | None` nor what has no type; what it does not see, `-p` warns of and help leaves out."""
    name, content = notebook
    (cell,) = [cell for cell in content["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    written = {node.target.id: ast.unparse(node.annotation) for node in ast.parse("".join(cell["source"])).body}
    seen = papermill.inspect_notebook(ROOT / "notebooks" / f"{name}.ipynb")
    assert {key: one["inferred_type_name"] for key, one in seen.items()} == written


def test_no_cell_has_the_name_of_another(notebook):
    _, content = notebook
    names = [cell["id"] for cell in content["cells"]]
    assert len(names) == len(set(names))


def test_it_begins_with_what_it_is_for(notebook):
    _, content = notebook
    assert content["cells"][0]["cell_type"] == "markdown" and "".join(content["cells"][0]["source"]).startswith("# ")


def test_no_output_of_the_tour_names_this_machine():
    text = (ROOT / "notebooks" / "tour.ipynb").read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/root/", "/tmp/", "/work/"))
