"""Experiment files: every fault named before anything runs, every cell found again by its key."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from sdaug.cells import Person, pack_digest
from sdaug.config import NANO, GenerationSettings
from sdaug.diffusion.components import WeightsMissing
from sdaug.experiment import (
    Experiment,
    ExperimentError,
    baseline_key,
    expand,
    load_experiment,
    read_experiment,
    read_people,
)
from sdaug.sweep import groups, read_result, unfinished

ADA, BEA = Person("ada", "ada.png", "0" * 64), Person("bea", "bea.png", "1" * 64)


def experiment(**content) -> Experiment:
    return Experiment.model_validate({"experiment": "x", "photo": "astronaut"} | content)


def cells(people=(ADA,), weights=lambda model: model.model_id, **content):
    return expand(experiment(**content), people, weights, lambda pack: pack)


def faults(**content) -> str:
    with pytest.raises(ExperimentError) as refused:
        cells(**content)
    return str(refused.value)


# -- expansion


def test_a_grid_is_the_product_of_its_axes_and_also_is_added():
    made = cells(
        base={"backend": "diffusion", "generation": {"strength": 0.5}},
        grid={"levers.precision.dtype": ["float32", "bfloat16"], "generation.num_inference_steps": [2, 4, 8]},
        also=[{"backend": "warp"}, {"generation": {"seed": 7, "num_angles": 1}}],
    )
    assert len(made) == 2 * 3 + 2 == len({cell.key for cell in made})
    assert made[1].varied == {"levers.precision.dtype": "float32", "generation.num_inference_steps": 4}
    assert made[1].settings.levers == {"precision": {"dtype": "float32"}}
    assert made[1].settings.generation.num_inference_steps == 4
    assert all(cell.settings.generation.strength == 0.5 for cell in made), "base holds where nothing is laid over it"
    assert made[-2].settings.backend == "warp" and made[-2].settings.levers == {}
    assert made[-1].varied == {"generation.seed": 7, "generation.num_angles": 1}


def test_a_lever_set_to_null_is_taken_out():
    base = {"levers": {"attention_slicing": {"slice_size": "max"}, "vae_slicing": {}}}
    off, on = cells(base=base, grid={"levers.attention_slicing": [None, {"slice_size": "max"}]})
    assert off.settings.levers == {"vae_slicing": {}} and on.settings.levers == base["levers"]
    assert cells(base=base, also=[{"levers": {"attention_slicing": None}}])[-1].settings.levers == {"vae_slicing": {}}
    assert experiment(base=base).base == base, "the file's own content is not changed"


def test_the_same_setting_twice_is_one_cell():
    made = cells(
        grid={"generation.seed": [1, 1, 2], "backend": ["warp"]},
        also=[{"backend": "warp", "generation": {"seed": 2}}, {"backend": "diffusion"}],
    )
    assert [(cell.settings.generation.seed, cell.settings.backend) for cell in made] == [
        (1, "warp"), (2, "warp"), (0, "diffusion"),
    ]  # fmt: skip


# -- keys


def test_every_setting_runs_on_everybody_with_every_seed():
    made = cells([ADA, BEA], seeds=[3, 4, 5], grid={"generation.num_inference_steps": [2, 4]})
    assert len({cell.key for cell in made}) == 2 * 2 * 3
    assert len({cell.setting_key for cell in made}) == 2 and len({cell.load_key for cell in made}) == 1
    for steps in (2, 4):
        of = [cell for cell in made if cell.varied == {"generation.num_inference_steps": steps}]
        assert {(cell.person.name, cell.settings.generation.seed) for cell in of} == {
            (name, seed) for name in ("ada", "bea") for seed in (3, 4, 5)
        }
        assert {cell.settings.generation.num_inference_steps for cell in of} == {steps}


def test_the_seed_is_not_part_of_the_setting():
    made = cells(grid={"generation.seed": [1, 2]})
    assert made[0].setting_key == made[1].setting_key and made[0].key != made[1].key


def test_what_a_notebook_is_told_is_the_whole_call():
    (cell,) = cells(base={"generation": {"num_angles": 3}}, seeds=[9])
    assert cell.call["person"] == "ada" and cell.call["photo"] == "ada.png" and cell.call["key"] == cell.key
    assert GenerationSettings(**cell.call["generation"]) == GenerationSettings(num_angles=3, seed=9)


# -- the baseline


def test_the_baseline_is_the_first_setting_or_the_one_named():
    axes = {"generation.num_inference_steps": [2, 4], "backend": ["diffusion", "warp"]}
    made = cells(grid=axes)
    assert baseline_key(experiment(grid=axes), made) == made[0].setting_key
    named = {"generation.num_inference_steps": 4, "backend": "warp"}
    assert baseline_key(experiment(grid=axes, baseline=named), made) == made[3].setting_key


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"generation.num_inference_stepps": 2}, "did you mean 'generation.num_inference_steps'"),
        ({"generation.num_inference_steps": 3}, "is 0 of the settings; expected exactly one"),
        ({"backend": "warp"}, "is 2 of the settings; expected exactly one"),
    ],
)
def test_a_baseline_that_is_not_one_setting_is_a_fault(baseline, message):
    grid = {"generation.num_inference_steps": [2, 4], "backend": ["diffusion", "warp"]}
    assert message in faults(grid=grid, baseline=baseline)


# -- weights


def test_other_weights_are_other_cells_but_for_a_warp():
    one, other = (cells(weights=lambda model, w=w: w, also=[{"backend": "warp"}]) for w in "ab")
    assert one[0].key != other[0].key and one[0].load_key != other[0].load_key
    assert one[1].key == other[1].key


def test_missing_weights_are_a_fault_of_the_setting_that_wants_them():
    def none_here(model):
        raise WeightsMissing(f"{model.model_id} is not here")

    text = faults(weights=none_here, base={"model": {"model_id": "some/model"}}, grid={"generation.seed": [1, 2]})
    assert text.count("model.model_id is 'some/model'") == 1
    assert len(cells(weights=none_here, base={"backend": "warp"})) == 1


def test_the_digest_of_real_weights_is_the_same_each_time():
    from sdaug.cells import weights_digest
    from sdaug.config import ModelSettings

    nano, random = ModelSettings(model_id=NANO), ModelSettings(model_id="random")
    assert weights_digest(nano) == weights_digest(nano) != weights_digest(random)


# -- keys


def test_a_key_depends_on_every_setting_and_the_photo_and_on_nothing_else():
    (plain,) = cells()
    assert cells(base={"generation": {"seed": 0}, "backend": "diffusion"})[0].key == plain.key, "defaults spelt out"
    assert cells(question="why?", repeats=9, log_images=True)[0].key == plain.key, "how it is run is not what is run"
    changed = [
        {"generation": {"seed": 1}}, {"generation": {"strength": 0.46}}, {"backend": "warp"}, {"strict": True},
        {"levers": {"vae_slicing": {}}}, {"model": {"device": "cpu"}}, {"gate": {"max_pose_error_deg": 14}},
    ]  # fmt: skip
    keys = [cells(base=base)[0].key for base in changed] + [cells([BEA])[0].key, cells(repeats=0)[0].key]
    assert len({plain.key, *keys}) == len(keys) + 1


def test_another_notebooks_code_is_another_cell_and_what_stands_around_it_is_not(tmp_path):
    def key(code, text):
        content = [
            {"cell_type": "markdown", "source": [text]},
            {"cell_type": "code", "source": code, "outputs": [text]},
        ]
        (tmp_path / "own.ipynb").write_text(json.dumps({"cells": content}))
        return cells(notebook=str(tmp_path / "own.ipynb"))[0].key

    assert key(["run()\n", "stop()"], "one") == key("run()\nstop()", "two") != key("run()", "one")
    (tmp_path / "own.ipynb").write_text("{")
    assert "is no notebook: JSONDecodeError" in faults(notebook=str(tmp_path / "own.ipynb"))
    assert "cannot be read: Is a directory" in faults(notebook=str(tmp_path))


def test_keys_do_not_depend_on_key_order_or_process():
    one = {"levers": {"vae_slicing": {}, "precision": {"dtype": "float32"}}, "generation": {"seed": 3, "strength": 0.2}}
    other = {
        "generation": {"strength": 0.2, "seed": 3},
        "levers": {"precision": {"dtype": "float32"}, "vae_slicing": {}},
    }
    (first,), (second,) = cells(base=one), cells(base=other)
    assert first.key == second.key and first.load_key == second.load_key
    code = (
        "import json, sys; from sdaug.cells import Person; from sdaug.experiment import Experiment, expand\n"
        "e = Experiment(experiment='x', photo='astronaut', base=json.loads(sys.argv[1]))\n"
        "(cell,) = expand(e, [Person('ada', 'ada.png', '0' * 64)], lambda model: model.model_id, lambda pack: pack)\n"
        "print(cell.key, cell.load_key)"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(other)],
            capture_output=True, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.stdout.split() == [first.key, first.load_key]


def test_cells_that_load_the_same_share_a_kernel():
    made = cells(
        base={"levers": {"precision": {"dtype": "float32"}}},
        grid={"levers.precision.dtype": ["float32", "bfloat16"], "generation.num_inference_steps": [2, 4],
              "generation.seed": [0, 1]},
        also=[{"min_source_face_px": 70.0}, {"gate": {"max_pose_error_deg": 9.0}}, {"generation": {"num_angles": 1}}],
    )  # fmt: skip
    kernels = groups(made)
    assert sorted(len(kernel) for kernel in kernels) == [1, 1, 4, 5], "call-time settings join, load-time ones part"
    assert sorted(c.key for kernel in kernels for c in kernel) == sorted(c.key for c in made)
    for kernel in kernels:
        loads = {c.settings.model_copy(update={"generation": GenerationSettings()}).model_dump_json() for c in kernel}
        assert len(loads) == 1


def test_only_what_is_missing_or_failed_runs_again(tmp_path):
    made = cells(grid={"generation.seed": [0, 1, 2, 3]})
    for cell, status in zip(made, ("finished", "failed", "skipped"), strict=False):
        folder = tmp_path / "cells" / cell.key
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"status": status}))
    assert unfinished(made, tmp_path) == [made[1], made[3]]
    assert read_result(tmp_path, made[0].key) == {"status": "finished"} and read_result(tmp_path, made[3].key) is None


# -- faults


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"base": {"bakend": "warp"}}, "unknown setting 'bakend'; did you mean 'backend'"),
        ({"base": {"model": {"lora": {"knd": "lcm"}}}}, "unknown setting 'model.lora.knd'; did you mean 'kind'"),
        ({"base": {"backend": "wrap"}}, "'backend' is 'wrap'"),
        ({"grid": {"generation.num_inference_stepps": [2]}}, "did you mean 'num_inference_steps'"),
        ({"grid": {"generation.num_inference_steps": ["many"]}}, "'generation.num_inference_steps' is 'many'"),
        ({"grid": {"generation.num_inference_steps": [2.5]}}, "is 2.5"),
        ({"grid": {"generation.num_angles": [5, 11]}}, "'generation.num_angles' is 11"),
        ({"grid": {"generation.strength": [0]}}, "'generation.strength' is 0"),
        ({"grid": {"generation.seed": [0], "generation.num_angles": []}}, "'generation.num_angles' has no values"),
        ({"grid": {"pack": ["buffalo_l", "embedded"]}}, "pack varies: buffalo_l, embedded; expected one"),
        ({"grid": {"levers.precison.dtype": ["float32"]}}, 
         "levers.precison: unknown lever 'precison'; did you mean 'precision'"),
        ({"grid": {"levers.precision.dtyp": ["float32"]}},
         "levers.precision: lever 'precision': unknown option 'dtyp'; did you mean 'dtype'"),
        ({"grid": {"levers.precision.dtype": ["float31"]}}, "option 'dtype' is 'float31'"),
        ({"base": {"levers": {"precision": "float16"}}}, "'levers.precision' is 'float16'"),
        ({"base": {"gate": {"measures": {"blurr": {}}}}},
         "gate.measures.blurr: unknown quality measure 'blurr'; did you mean 'blur'"),
        ({"base": {"gate": {"measures": {"blur": {"belo": 1}}}}},
         "gate.measures.blur: quality measure 'blur': unknown option 'belo'; did you mean 'below'"),
        ({"base": {"gate": {"reported": {"natural_color": {}}}}},
         "gate.reported.natural_color: unknown quality measure 'natural_color'; did you mean 'natural_colour'"),
        ({"base": {"gate": {"rule": "missions"}}}, "'sdaug' or 'mission'"),
        ({"also": [{"genration": {"seed": 1}}]}, "did you mean 'generation'"),
    ],
)  # fmt: skip
def test_a_fault_names_its_place_its_value_and_what_exists(content, message):
    assert message in faults(**content)


def test_settings_that_make_no_view_are_not_compared():
    assert "backend: 'none' makes no view" in faults(grid={"backend": ["warp", "none"]})


def test_all_faults_are_listed_at_once_and_each_once():
    text = faults(
        base={"generation": {"seed": -1}},
        grid={"generation.num_angles": [0, 3, 11], "generation.guidance_scale": ["high"]},
        also=[{"levers": {"precison": {}, "vae_slicing": {"on": True}}, "generation": {"seed": 0}}],
    )
    wanted = ("'generation.seed' is -1", "num_angles' is 0", "num_angles' is 11", "is 'high'", "'precison'", "'on'")
    assert [text.count(each) for each in wanted] == [1] * len(wanted), text


def test_one_cells_setting_fault_does_not_hide_its_lever_fault():
    text = faults(base={"bakend": "warp", "levers": {"precison": {}}})
    assert "'bakend'" in text and "'precison'" in text


@pytest.mark.parametrize("generation", [None, 5, "fast", [1]])
def test_a_section_that_is_no_mapping_is_a_fault(generation):
    assert "generation" in faults(base={"generation": generation}, grid={"generation.seed": [1]})


def test_yes_is_not_a_number():
    """YAML reads `yes` as true; one angle would run where five were meant."""
    assert "num_angles" in faults(base={"generation": {"num_angles": True}})


@pytest.mark.parametrize(
    ("base", "place"),
    [({"pack": "embeded"}, "pack"), ({"gate": {"min_similarity": {"dlib": 0}}}, "gate.min_similarity.dlib")],
)
def test_a_misspelt_pack_or_recogniser_is_a_fault(base, place):
    text = faults(base=base)
    assert text.startswith(f"{place}: unknown") and "did you mean" in text


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (
            {"levers": {"torch_compile": {}, "cuda_graphs": {}}},
            "levers: cuda_graphs and torch_compile exclude each other",
        ),
        ({"levers": {"fp8_storage": {}, "int8_weights": {}}}, "exclude each other"),
        ({"model": {"lora": {"kind": "lcm"}}, "generation": {"guidance_scale": 7.5}}, "'lcm' runs without guidance"),
    ],
)
def test_what_cannot_be_together_is_a_fault_before_anything_starts(base, message):
    assert message in faults(base=base)
    assert cells(base={"model": {"lora": {"kind": "hyper_sd_8_steps_cfg"}}, "generation": {"guidance_scale": 7.5}})


def test_a_pack_that_is_not_here_is_a_fault_and_another_one_is_another_cell(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ExperimentError, match="pack is 'buffalo_l': .* is not on this machine"):
        expand(experiment(base={"pack": "buffalo_l", "backend": "warp"}), [ADA])
    one, other = ((lambda pack: pack + "1"), (lambda pack: pack + "2"))
    keys = [expand(experiment(), [ADA], lambda model: "", files)[0].key for files in (one, other, one)]
    assert keys[0] == keys[2] != keys[1], "the same name, other files"
    assert pack_digest("embedded") == pack_digest("embedded") != ""


def test_a_misspelt_objective_is_a_fault_before_the_first_trial():
    def search(name):
        axes = {"generation.strength": [0.2, 0.4]}
        return faults(search={"axes": axes, "objectives": {name: "minimize"}})

    assert "search.objectives: unknown figure 'latency.call_p50'; did you mean 'latency.call_p50_s'" in search(
        "latency.call_p50"
    )
    assert "did you mean 'raw.similarity.dlib_resnet'" in search("raw.similarity.dlib")


def test_an_axis_of_a_search_is_tried_without_what_may_not_be_together():
    """Which combinations are impossible shows when they are proposed."""
    axes = {"levers.torch_compile": [None, {}], "levers.cuda_graphs": [None, {}], "generation.num_angles": [1, 11]}
    objectives = {"latency.load_s": "minimize"}
    assert faults(search={"axes": axes, "objectives": objectives}) == (
        "setting 'generation.num_angles' is 11: Input should be less than or equal to 10"
    )
    axes = {"generation.strength": {"low": 0.1, "high": 1}, "generation.num_angles": {"low": 1, "high": 10}}
    baseline = {"generation.strength": 0.4, "generation.num_angles": 5}
    tried = cells(search={"axes": axes, "objectives": objectives}, baseline=baseline)
    assert [list(cell.varied.values()) for cell in tried] == [[0.4, 5], [0.1, 5], [1, 5], [0.4, 1], [0.4, 10]]


# -- files


def of_search(axes):
    return {"axes": axes, "objectives": {"latency.load_s": "minimize"}}


SEARCH = {
    "experiment": "x", "photo": "astronaut",
    "search": of_search({"generation.strength": {"low": 0.1, "high": 1.0},
                         "generation.num_angles": {"low": 1, "high": 10}, "pack": ["embedded"]}),
}  # fmt: skip


@pytest.fixture
def load(tmp_path, root, monkeypatch):
    monkeypatch.chdir(root)

    def write_and_load(content):
        path = tmp_path / "x.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return load_experiment(path)

    return write_and_load


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("experiment: [", "not valid YAML"),
        ("", "holds NoneType; expected a mapping"),
        ("- a", "holds list; expected a mapping"),
        ({"experiment": "x"}, "expected either 'photo' or 'people', and not both"),
        ({"experiment": "x", "photo": "astronaut", "people": "src"}, "expected either 'photo' or 'people'"),
        ({"experiment": "x", "people": "nowhere"}, "people: 'nowhere' is no folder"),
        ({"experiment": "x", "people": "src"}, "people: there is no photo in 'src'"),
        ({"experiment": "x", "people": {"a": "astronaut", "b": "b.png"}}, "people: photo 'b.png' does not exist"),
        (
            {"experiment": "x", "photo": "astronaut", "seeds": [1], "grid": {"generation.seed": [2]}},
            "'seeds' are given and 'grid' varies 'generation.seed'",
        ),
        (
            SEARCH | {"baseline": {"generation.strenght": 0.3}},
            "baseline: 'generation.strenght' is not varied; did you mean",
        ),
        (
            SEARCH | {"baseline": {"generation.strength": 0.3}},
            "baseline: 'generation.num_angles' is missing; expected a value of every axis of the search",
        ),
        (
            SEARCH | {"baseline": {"generation.strength": 1.5, "generation.num_angles": 2}},
            "baseline: 'generation.strength' is 1.5; expected a number from 0.1 to 1.0, as the search says",
        ),
        (
            SEARCH | {"baseline": {"generation.strength": 0.3, "generation.num_angles": 2.0, "pack": "embedded"}},
            "baseline: 'generation.num_angles' is 2.0; expected a whole number from 1 to 10, as the search says",
        ),
        (
            SEARCH | {"baseline": {"pack": "buffalo_l", "generation.strength": 0.3, "generation.num_angles": 2}},
            "baseline: 'pack' is 'buffalo_l'; expected one of ['embedded'], as the search says",
        ),
        (SEARCH | {"seeds": [1], "search": of_search({"generation.seed": [2]})}, "'search' varies 'generation.seed'"),
        (SEARCH | {"search": of_search({"generation.seed": []})}, "search axis 'generation.seed' has no values"),
        (
            SEARCH | {"search": of_search({"generation.strength": {"low": 0, "high": 1, "log": True}})},
            "low is 0 with log; expected more than 0",
        ),
        ({"experiment": "x", "photo": "astronaut", "gird": {}}, "unknown setting 'gird'; did you mean 'grid'"),
        (
            {"experiment": "x", "photo": "astronaut", "search": {"trails": 5}},
            "unknown setting 'search.trails'; did you mean 'trials'",
        ),
        (
            {"experiment": "x", "photo": "a", "search": {"axes": {"generation.strength": {"low": 0.1, "hi": 0.9}}}},
            "unknown setting 'search.axes.generation.strength.hi'; did you mean 'high'",
        ),
        ({"experiment": "x", "photo": "astronaut", "grid": [1]}, "setting 'grid' is"),
        ({"experiment": "x", "photo": "astronaut", "seeds": [0, -1]}, "setting 'seeds.1' is -1"),
        ({"experiment": "x", "photo": "astronaut", "repeats": "twice"}, "setting 'repeats' is 'twice'"),
        ({"experiment": "x", "photo": "astronot"}, "'astronot' does not exist"),
        ({"experiment": "x", "photo": "pyproject.toml"}, "not an image of a known format"),
        ({"experiment": "x", "photo": "astronaut", "notebook": "no.ipynb"}, "notebook 'no.ipynb' does not exist"),
    ],
)
def test_a_file_that_cannot_be_run_says_why(load, content, message):
    with pytest.raises(ExperimentError, match=r"x\.yaml") as refused:
        load(content)
    assert message in str(refused.value)


def test_two_photos_of_one_name_are_a_fault(load, tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(ExperimentError, match="people: a.jpg and a.png are of one name; expected one photo a person"):
        load({"experiment": "x", "people": str(tmp_path)})


def test_a_date_in_yaml_is_a_fault_and_no_crash(load):
    with pytest.raises(ExperimentError, match="revision"):
        load("experiment: x\nphoto: astronaut\nbase: {model: {revision: 2024-01-01}}\n")


def test_two_faults_at_the_top_are_both_named(load):
    with pytest.raises(ExperimentError, match="'gird'.*'repeats'|'repeats'.*'gird'"):
        load({"experiment": "x", "photo": "astronaut", "gird": {}, "repeats": "twice"})


def test_every_experiment_of_the_repository_is_sound(root, monkeypatch):
    monkeypatch.chdir(root)
    paths = sorted((root / "experiments").glob("*.yaml"))
    assert "demo.yaml" in [path.name for path in paths]
    for path in paths:
        loaded = read_experiment(path)
        # Only some machines have the weights and the pack.
        made = expand(loaded, read_people(loaded), lambda model: model.model_id, lambda name: name)
        assert loaded.experiment == path.stem and len(made) >= 1


def test_the_demo_sweeps_what_the_issue_names(root, monkeypatch):
    monkeypatch.chdir(root)
    _, made = load_experiment(root / "experiments" / "demo.yaml")
    varied = {name for cell in made for name in cell.varied}
    assert varied >= {
        "levers.precision", "levers.attention_slicing", "generation.num_inference_steps", "generation.num_angles",
    }  # fmt: skip
