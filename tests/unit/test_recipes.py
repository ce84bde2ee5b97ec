"""The recommended settings are settings that exist, and the command offers them."""

import json

import pytest

from sdaug import plugins
from sdaug.config import RunSettings
from sdaug.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_made_of_settings_and_levers_that_exist(name):
    settings = RunSettings.model_validate(RECIPES[name])
    assert settings.generation.guidance_scale <= 1 and settings.levers == RECIPES[name]["levers"]
    for lever, options in settings.levers.items():
        plugins.load("sdaug.levers", lever, options)


def test_augment_takes_a_recipe_that_exists(sdaug):
    wrong = sdaug("augment", "astronaut", "--out", "x", "--recipe", "slow")
    assert wrong.code == 2 and "'quick', 'small', 'balanced'" in wrong.err
    done = sdaug("augment", "astronaut", "--out", "x", "--recipe", "quick", "--model", "random", "--num-angles", "1")
    assert done.code == 0, "the random model has no prompts to cache, so that lever is left out"


def test_a_recipes_settings_are_what_runs(sdaug, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = sdaug("augment", "astronaut", "--out", "x", "--recipe", "balanced", "--num-angles", "1", "--device", "cpu")
    assert done.code == 0
    run = json.loads((tmp_path / "x/manifest.json").read_text())["generator"]["settings"]
    assert (run["num_inference_steps"], run["control_guidance_end"], run["num_angles"]) == (12, 0.6, 1)
