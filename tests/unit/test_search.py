"""The adaptive mode on a notebook whose figures are known: it goes to where they are best, and survives a kill."""

import json

import pytest

from sdaug.experiment import Experiment, ExperimentError
from sdaug.search import STUDY, run_search
from tests.unit.test_sweep import PARAMETERS, PEOPLE, notebook

WORK = """
import pathlib
from sdaug.record import write_json

for call in calls:
    folder = pathlib.Path(out) / call["key"]
    folder.mkdir(parents=True, exist_ok=True)
    with open(pathlib.Path(out).parent / "ran.txt", "a") as log:
        log.write(call["key"] + "\\n")
    {trouble}
    strength = call["generation"]["strength"]
    angle = {{"accepted": True, "reasons": [], "similarity": {{"own": 1 - (strength - 0.3) ** 2}}, "measured": None,
             "requested": {{"yaw_deg": 0, "pitch_deg": 0}}, "raw": None, "index": 0, "rung": "warp", "latency_s": 1.0}}
    write_json(folder / "result.json", {{
        "schema": "x", "key": call["key"], "setting": call["setting"], "person": call["person"], "seed": 0,
        "status": "finished", "settings": settings | {{"generation": call["generation"]}},
        "latency_s": {{"import": 0.0, "load": 0, "first_call": strength, "call": [strength]}},
        "device": "a board on a host",
        "record": {{"angles": [angle], "pack": {{"recognisers": ["own"], "files": {{}}}},
                   "generator": {{}}, "source": {{"sha256": ""}}, "environment": {{"packages": {{}}}},
                   "memory": {{"resident_peak": 1, "cuda_allocated_peak": None}}}},
    }})
"""


@pytest.fixture
def search(tmp_path):
    """search(trouble, **of_search): an experiment whose likeness is best at strength 0.3 and whose cost is strength."""

    def make(trouble="pass", **given):
        import nbformat

        code = nbformat.v4.new_code_cell
        parameters = code(PARAMETERS, metadata={"tags": ["parameters"]})
        nbformat.write(notebook(parameters, code(WORK.format(trouble=trouble))), tmp_path / "work.ipynb")
        of_search = {
            "axes": {"generation.strength": {"low": 0.1, "high": 1.0}},
            "objectives": {"raw.similarity.own": "maximize"},
            "trials": 4, "sampler": "tpe",
        }  # fmt: skip
        content = {"experiment": "x", "photo": "astronaut", "notebook": str(tmp_path / "work.ipynb")}
        return Experiment.model_validate(content | {"base": {"backend": "warp"}, "search": of_search | given})

    return make


def ran(out) -> list[str]:
    return (out / "ran.txt").read_text().split()


def test_every_trial_is_a_setting_with_results_and_is_not_run_again(search, tmp_path):
    seen = []
    cells, outcome = run_search(search(), tmp_path / "out", lambda *state: seen.append(state), people=PEOPLE[:1])
    strengths = {cell.settings.generation.strength for cell in cells}
    assert len(cells) == len(strengths) == 4 and all(0.1 <= value <= 1.0 for value in strengths)
    assert [done for done, _, _ in seen] == [1, 2, 3, 4] and len(outcome.results) == 4
    again, _ = run_search(search(), tmp_path / "out", people=PEOPLE[:1])
    assert [cell.key for cell in again] == [cell.key for cell in cells] and len(ran(tmp_path / "out")) == 4


def test_more_trials_go_on_where_it_was(search, tmp_path):
    first, _ = run_search(search(trials=2), tmp_path / "out", people=PEOPLE[:1])
    more, _ = run_search(search(trials=3), tmp_path / "out", people=PEOPLE[:1])
    assert [cell.key for cell in more[:2]] == [cell.key for cell in first] and len(ran(tmp_path / "out")) == 3


def test_a_trial_that_was_interrupted_is_run_to_its_end(search, tmp_path, monkeypatch):
    """As after a kill: Optuna believes the trial is running, its cells have no result."""

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sdaug.search.run_sweep", killed)
    with pytest.raises(KeyboardInterrupt):
        run_search(search(trials=2), tmp_path / "out", people=PEOPLE[:1])
    monkeypatch.undo()
    proposed = json.loads([line for line in (tmp_path / "out" / STUDY).read_text().splitlines()
                           if "param_value_internal" in line][0])["param_value_internal"]  # fmt: skip
    cells, _ = run_search(search(trials=2), tmp_path / "out", people=PEOPLE[:1])
    assert cells[0].settings.generation.strength == pytest.approx(proposed) and len(cells) == 2


def test_a_trial_that_fails_counts_and_the_search_goes_on(search, tmp_path):
    cells, outcome = run_search(search("raise RuntimeError('no')", trials=2), tmp_path / "out", people=PEOPLE[:1])
    assert len(cells) == 2 and [result["status"] for result in outcome.results] == ["failed", "failed"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objectives": {"raw.similarity.onw": "maximize"}}, "did you mean 'raw.similarity.own'"),
        ({"axes": {"generation.strenght": [0.3]}}, "did you mean 'strength'"),
    ],
)
def test_an_unknown_word_is_named(search, tmp_path, given, message):
    with pytest.raises(ExperimentError, match=message):
        run_search(search(**given), tmp_path / "out", people=PEOPLE[:1])
