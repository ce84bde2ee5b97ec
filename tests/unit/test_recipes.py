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


def test_augment_takes_a_recipe_and_says_what_of_it_cannot_be(sdaug):
    wrong = sdaug("augment", "astronaut", "--out", "x", "--recipe", "slow")
    assert wrong.code == 2 and "'quick', 'balanced'" in wrong.err
    # The small random model has no text encoder whose answer could be kept.
    skipped = sdaug("augment", "astronaut", "--out", "x", "--recipe", "quick", "--model", "random")
    assert skipped.code == 1 and "a lever does not apply: the random model has no text encoder" in skipped.err


def test_a_recipes_settings_are_what_runs(sdaug, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = sdaug("augment", "astronaut", "--out", "x", "--recipe", "balanced", "--num-angles", "1", "--device", "cpu")
    assert done.code == 0
    run = json.loads((tmp_path / "x/manifest.json").read_text())["generator"]["settings"]
    assert (run["num_inference_steps"], run["control_guidance_end"], run["num_angles"]) == (12, 0.6, 1)
