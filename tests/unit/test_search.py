"""The adaptive mode on a notebook whose figures are known: it goes to where they are best, and survives a kill."""

import json

import pytest
import yaml

from sdaug.experiment import Experiment, ExperimentError, Search, baseline_key
from sdaug.search import STUDY, WHY, _study, cells_left, run_search
from sdaug.sweep import run_cells
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
    similarity = {{"dlib_resnet": 1 - (strength - 0.3) ** 2}}
    angle = {{"accepted": True, "reasons": [], "similarity": similarity, "measured": None,
             "requested": {{"yaw_deg": 0, "pitch_deg": 0}}, "raw": None, "index": 0, "rung": "warp", "latency_s": 1.0}}
    write_json(folder / "result.json", {{
        "schema": "x", "key": call["key"], "setting": call["setting"], "person": call["person"], "seed": 0,
        "status": "finished", "settings": settings | {{"generation": call["generation"]}},
        "latency_s": {{"import": 0.0, "load": 0, "first_call": strength, "call": [strength]}},
        "device": "a board on a host",
        "record": {{"angles": [angle], "pack": {{"recognisers": ["dlib_resnet"], "files": {{}}}},
                   "generator": {{}}, "source": {{"sha256": ""}}, "environment": {{"packages": {{}}}},
                   "memory": {{"resident_peak_sampled": 1, "cuda_allocated_peak": None}}}},
    }})
"""


@pytest.fixture
def search(tmp_path):
    """search(trouble, **of_search): an experiment whose likeness is best at strength 0.3 and whose cost is strength."""

    def make(trouble="pass", baseline=None, **given):
        import nbformat

        code = nbformat.v4.new_code_cell
        parameters = code(PARAMETERS, metadata={"tags": ["parameters"]})
        (tmp_path / "trouble.py").write_text(trouble)
        work = WORK.format(trouble=f'exec(pathlib.Path(r"{tmp_path}/trouble.py").read_text())')
        nbformat.write(notebook(parameters, code(work)), tmp_path / "work.ipynb")
        of_search = {
            "axes": {"generation.strength": {"low": 0.1, "high": 1.0}},
            "objectives": {"raw.similarity.dlib_resnet": "maximize"},
            "trials": 4, "sampler": "tpe",
        }  # fmt: skip
        content = {"experiment": "x", "photo": "astronaut", "notebook": str(tmp_path / "work.ipynb"),
                   "baseline": baseline or {}}  # fmt: skip
        return Experiment.model_validate(content | {"base": {"backend": "warp"}, "search": of_search | given})

    return make


def ran(out) -> list[str]:
    return (out / "ran.txt").read_text().split()


def study(experiment, folder):
    """All trials of a search in folder/out."""
    return _study(experiment.search, folder / "out").trials


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

    monkeypatch.setattr("sdaug.search.run_cells", killed)
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
        ({"objectives": {"raw.similarity.dlib": "maximize"}}, "did you mean 'raw.similarity.dlib_resnet'"),
        ({"objectives": {"raw.similarity.arcface": "maximize"}}, "there are: .*raw.similarity.dlib_resnet"),
        ({"axes": {"generation.strenght": [0.3]}}, "did you mean 'strength'"),
    ],
)
def test_an_unknown_word_is_named(search, tmp_path, given, message):
    with pytest.raises(ExperimentError, match=message):
        run_search(search(**given), tmp_path / "out", people=PEOPLE[:1])


def test_a_search_as_nobody_chose_it_goes_to_where_it_is_best(search, tmp_path):
    """What is proposed in its last third lies nearer than a random sampler's, 0.24 away in the median."""
    usual = {name: Search.model_fields[name].default for name in ("sampler", "trials")}
    asked, away = search(**usual).search, []
    for seed in range(5):
        study = _study(asked.model_copy(update={"seed": seed}), tmp_path / str(seed))
        for _ in range(asked.trials):
            trial = study.ask()
            study.tell(trial, 1 - (trial.suggest_float("generation.strength", 0.1, 1.0) - 0.3) ** 2)
        away += [abs(trial.params["generation.strength"] - 0.3) for trial in study.trials[-asked.trials // 3 :]]
    assert sorted(away)[len(away) // 2] < 0.1


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_two_objectives(search, tmp_path, sampler):
    objectives = {"raw.similarity.dlib_resnet": "maximize", "latency.call_p50_s": "minimize"}
    asked = search(objectives=objectives, sampler=sampler)
    cells, _ = run_search(asked, tmp_path / "out", people=PEOPLE[:1])
    strengths = [cell.settings.generation.strength for cell in cells]
    told = [trial.values for trial in study(asked, tmp_path)]
    assert len(set(strengths)) == 4
    assert told == [[pytest.approx(1 - (strength - 0.3) ** 2), strength] for strength in strengths]


# -- the baseline


def test_the_baseline_is_proposed_first_and_is_what_others_are_compared_with(search, tmp_path):
    wanted = {"generation.strength": 0.5, "levers.attention_slicing": {"slice_size": "max"}}
    axes = {"generation.strength": {"low": 0.1, "high": 1}, "levers.attention_slicing": [None, {"slice_size": "max"}]}
    asked = search(axes=axes, trials=3, baseline=wanted)
    cells, outcome = run_search(asked, tmp_path / "out", people=PEOPLE[:1])
    assert len(outcome.results) == 3 and cells[0].varied == wanted and wanted not in [cell.varied for cell in cells[1:]]
    index = json.loads((tmp_path / "out/sweep.json").read_text())
    assert index["baseline"] == cells[0].setting_key == baseline_key(asked, cells)


def test_a_baseline_that_is_named_later_is_run_too(search, tmp_path):
    first, _ = run_search(search(trials=2), tmp_path / "out", people=PEOPLE[:1])
    asked, seen = search(trials=2, baseline={"generation.strength": 0.5}), []
    assert cells_left(asked, PEOPLE[:1], tmp_path / "out") == 1
    cells, _ = run_search(asked, tmp_path / "out", lambda *state: seen.append(state[:2]), people=PEOPLE[:1])
    assert [cell.key for cell in cells[:2]] == [cell.key for cell in first] and seen == [(3, 3)]
    assert baseline_key(asked, cells) == cells[2].setting_key
    again, _ = run_search(asked, tmp_path / "out", people=PEOPLE[:1])
    assert len(again) == 3 == len(ran(tmp_path / "out"))


# -- proposals that are no settings

EXCLUSIVE = {"levers.torch_compile": [None, {}], "levers.cuda_graphs": [None, {}]}


def test_an_impossible_proposal_is_a_trial_without_cells_and_the_search_goes_on(search, tmp_path, caplog):
    def asked(trials):
        return search(axes=EXCLUSIVE, trials=trials)

    cells, _ = run_search(asked(8), tmp_path / "out", people=PEOPLE[:1])
    trials = study(asked(8), tmp_path)
    refused = [trial for trial in trials if WHY in trial.user_attrs]
    assert len(trials) == 8 and refused and all("exclude each other" in trial.user_attrs[WHY] for trial in refused)
    assert {str(trial.params) for trial in refused} == {str({name: "{}" for name in EXCLUSIVE})}
    assert caplog.text.count("is no setting: levers: ") == len(refused)
    assert len(ran(tmp_path / "out")) == len(cells) and {} not in [cell.varied for cell in cells]
    more, _ = run_search(asked(9), tmp_path / "out", people=PEOPLE[:1])
    assert len(study(asked(9), tmp_path)) == 9 and [cell.key for cell in more[: len(cells)]] == [c.key for c in cells]


def test_a_search_of_which_nothing_is_possible_says_so(search, tmp_path, monkeypatch):
    monkeypatch.setattr("sdaug.search._cells", lambda *_: ([], "levers: no"))
    with pytest.raises(ExperimentError, match="none of 4 proposals is a setting; the last: levers: no"):
        run_search(search(), tmp_path / "out", people=PEOPLE[:1])


# -- what changed between two runs


def test_what_failed_in_a_trial_that_is_done_runs_again(search, tmp_path):
    broken = search("if call['person'] == 'bea': raise RuntimeError('no')", trials=2)
    _, outcome = run_search(broken, tmp_path / "out", people=PEOPLE[:2])
    assert [result["status"] for result in outcome.results] == ["finished", "failed"] * 2
    whys = [trial.user_attrs[WHY] for trial in study(broken, tmp_path)]
    assert all(why.startswith("1 of 2 cells failed: RuntimeError: no") for why in whys), "ada's alone are not told"
    assert cells_left(search(trials=3), PEOPLE[:2], tmp_path / "out") == 2 + 2
    (tmp_path / "out/ran.txt").unlink()
    cells, outcome = run_search(search(trials=2), tmp_path / "out", people=PEOPLE[:2])
    assert {result["status"] for result in outcome.results} == {"finished"} and len(cells) == 4
    assert ran(tmp_path / "out") == [cell.key for cell in cells if cell.person.name == "bea"]


def test_other_photos_are_other_cells_of_the_same_trials(search, tmp_path):
    first, _ = run_search(search(trials=2), tmp_path / "out", people=PEOPLE[:1])
    cells, outcome = run_search(search(trials=2), tmp_path / "out", people=PEOPLE[1:2])
    assert [cell.varied for cell in cells] == [cell.varied for cell in first]
    assert [result["person"] for result in outcome.results] == ["bea", "bea"]


def test_other_axes_or_objectives_are_another_search(search, tmp_path):
    run_search(search(trials=2), tmp_path / "out", people=PEOPLE[:1])
    objectives = {"raw.similarity.dlib_resnet": "maximize", "latency.call_p50_s": "minimize"}
    other = search(trials=1, objectives=objectives, axes={"generation.strength": [0.2, 0.4]})
    cells, _ = run_search(other, tmp_path / "out", people=PEOPLE[:1])
    assert len(cells) == 1 and cells[0].settings.generation.strength in (0.2, 0.4)


# -- the command


@pytest.fixture
def file(search, tmp_path, monkeypatch):
    """file(**experiment): the file of a search of 3 settings; nothing is logged and the comparison is an empty one."""
    import nbformat

    code = nbformat.v4.new_code_cell("results = '.'\nshow_images = False", metadata={"tags": ["parameters"]})
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook(code), tmp_path / "notebooks/compare.ipynb")
    monkeypatch.setattr("sdaug.tracking.log_sweep", lambda *_: None)

    def write(trials=3, **given):
        content = search(trials=trials).model_dump(mode="json") | given
        path = tmp_path / "x.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_the_command_runs_a_search_and_goes_on_after_a_kill(sdaug, file, tmp_path, monkeypatch):
    asked, out = file(baseline={"generation.strength": 0.5}), tmp_path / "build/x"
    run_one = run_cells

    def killed_in_the_second(*given, **named):
        if len(ran(out)) == 1:
            raise KeyboardInterrupt
        return run_one(*given, **named)

    (out / "ran.txt").parent.mkdir(parents=True)
    (out / "ran.txt").touch()
    monkeypatch.setattr("sdaug.search.run_cells", killed_in_the_second)
    assert sdaug("sweep", asked).code == 1 and len(ran(out)) == 1
    monkeypatch.setattr("sdaug.search.run_cells", run_one)
    done = sdaug("sweep", asked, "--json")
    assert done.code == 0 and "2 cells to run at most" in done.err, done.err
    found = json.loads(done.out)
    assert (found["finished"], found["failed"]) == (3, 0) and len(set(ran(out))) == len(ran(out)) == 3
    index = json.loads((out / "sweep.json").read_text())
    assert index["baseline"] == index["settings"][0]["key"] == index["cells"][0]["setting"]
    assert index["settings"][0]["varied"] == {"generation.strength": 0.5}


def test_many_cells_of_a_search_want_a_yes(sdaug, file):
    done = sdaug("sweep", file(trials=3, seeds=[1, 2]), "--confirm-above", 5)
    assert done.code == 2 and "6 cells are more than 5; --yes" in done.err


def test_a_dry_run_of_a_search_says_how_much_it_is_and_what_it_is_like(sdaug, file, tmp_path):
    given = {"base": {"model": {"model_id": "random", "device": "cpu"}}, "seeds": [1, 2]}
    done = sdaug("sweep", file(**given), "--dry-run", "--device", "orin-agx-64")
    assert done.code == 0 and "6 cells to run at most; which ones is only known as it goes" in done.err
    assert done.out.startswith("at most 6 cells, of settings such as these\n") and "together" not in done.out
    assert [line.split(": 1 cell, ")[0] for line in done.out.splitlines()[3:]] == ["  strength 0.1", "  strength 1.0"]
    found = json.loads(sdaug("sweep", file(**given), "--dry-run", "--device", "orin-agx-64", "--json").out)
    assert (
        found["to_run_at_most"] == 6 and len(found["predicted"]["settings"]) == 2 and not (tmp_path / "build").exists()
    )


def test_skipped_cells_of_a_search_are_not_asked_to_run_again(sdaug, file):
    done = sdaug("sweep", file(), "--retry-skipped")
    assert done.code == 2 and "--retry-skipped" in done.err and "search" in done.err


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_search_on_a_gpu_wants_one(sdaug, file, monkeypatch, device):
    asked = {}
    monkeypatch.setattr("sdaug.cli.sweep.chosen_executor", lambda **where: asked.update(where))
    done = sdaug("sweep", file(base={"model": {"model_id": "random", "device": device}}), "--dry-run")
    assert done.code == 0 and asked["gpu"] is (device == "cuda"), done.err


def test_an_extension_that_is_killed_leaves_what_was_judged_to_be_read(sdaug, file, tmp_path, monkeypatch):
    out = tmp_path / "build/x"

    def killed_in_the_second(*given, **named):
        if len(ran(out)) == 3:
            raise KeyboardInterrupt
        run_cells(*given, **named)

    assert sdaug("sweep", file(trials=2)).code == 0
    before = (out / "sweep.json").read_bytes()
    monkeypatch.setattr("sdaug.search.run_cells", killed_in_the_second)
    assert sdaug("sweep", file(trials=4)).code == 1 and len(ran(out)) == 3
    assert (out / "sweep.json").read_bytes() == before
