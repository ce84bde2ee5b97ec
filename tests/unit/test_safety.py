"""The safety checker, on a tiny one with concepts of our choosing."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from sdaug.config import ModelSettings
from sdaug.diffusion.safety import check_images
from sdaug.diffusion.weights import Components, WeightsInvalid, load_components


def images(count: int = 8) -> np.ndarray:
    """(count, 48, 64, 3) uint8 pictures that have little in common."""
    return np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)


def save_checker(folder: Path, threshold: float = 0.9) -> None:
    """With concepts drawn at random. `threshold` of all of them: 2 flags nothing, -2 everything."""
    width = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    vision = dict(width, image_size=32, patch_size=8)
    config = CLIPConfig(text_config=width, vision_config=vision, projection_dim=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        checker = StableDiffusionSafetyChecker(config)
        torch.nn.init.normal_(checker.concept_embeds)
        torch.nn.init.normal_(checker.special_care_embeds)
    torch.nn.init.constant_(checker.concept_embeds_weights, threshold)
    torch.nn.init.constant_(checker.special_care_embeds_weights, 0.5)
    checker.save_pretrained(folder / "safety_checker")
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder / "feature_extractor")


def load(folder: Path, **settings) -> Components:
    return load_components(ModelSettings(model_id=str(folder), device="cpu", **settings))


@pytest.mark.parametrize(("threshold", "flagged"), [(2.0, False), (-2.0, True)])
def test_images_are_flagged_by_their_nearness_to_concepts(folder, threshold, flagged):
    save_checker(folder, threshold)
    parts = load(folder, safety_checker="on")
    assert parts.safety == "on" and "safety_checker" in parts.digests
    assert check_images(parts.safety_checker, images()) == [flagged] * 8


def test_a_checker_may_hold_the_positions_that_sd15s_holds_and_no_other_surplus(folder):
    save_checker(folder, -2.0)
    path = folder / "safety_checker/model.safetensors"
    published = {name.replace("vision_model.", "vision_model." * 2, 1): t for name, t in load_file(path).items()}
    published["vision_model.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(published, path, {"format": "pt"})
    assert check_images(load(folder, safety_checker="on").safety_checker, images()) == [True] * 8
    save_file(published | {"concepts.extra": torch.zeros(1)}, path, {"format": "pt"})
    with pytest.raises(WeightsInvalid, match="1 tensors too many, the first concepts.extra"):
        load(folder, safety_checker="on")


def test_the_verdict_is_that_of_diffusers(folder):
    save_checker(folder)
    checker = load(folder, safety_checker="on").safety_checker
    shown, verdicts = images(), []
    pixels = checker.processor(images=list(shown), return_tensors="pt").pixel_values
    for threshold in np.linspace(-0.2, 0.9, 56):
        checker.network.concept_embeds_weights.data.fill_(threshold)
        checker.network.special_care_embeds_weights.data.fill_(threshold + 0.1)
        _, expected = checker.network(clip_input=pixels, images=shown.astype(np.float32))
        verdicts.append(check_images(checker, shown))
        assert verdicts[-1] == expected, threshold
    assert np.array_equal(shown, images())
    assert any(len(set(verdict)) == 2 for verdict in verdicts)  # else constants were compared


def test_off_reads_nothing_and_absent_is_logged(folder, caplog):
    with caplog.at_level(logging.WARNING, "sdaug"):
        assert load(folder).safety == "off" and not caplog.records
        parts = load(folder, safety_checker="on")
    assert parts.safety == "absent" and parts.safety_checker is None
    assert "no safety checker" in caplog.text
    save_checker(folder)
    assert load(folder).safety_checker is None


def test_a_damaged_checker_is_refused(folder):
    save_checker(folder)
    path = folder / "safety_checker/model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(WeightsInvalid, match="safety_checker/model.safetensors is damaged or cut short"):
        load(folder, safety_checker="on")
    path.write_bytes(content)
    (folder / "feature_extractor/preprocessor_config.json").unlink()
    with pytest.raises(WeightsInvalid, match="preprocessor_config.json is missing"):
        load(folder, safety_checker="on")


def test_a_checker_that_makes_no_numbers_flags_nothing_silently(folder):
    save_checker(folder)
    path = folder / "safety_checker/model.safetensors"
    tensors = load_file(path)
    tensors["visual_projection.weight"] *= torch.nan
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(FloatingPointError, match="not finite"):
        check_images(load(folder, safety_checker="on").safety_checker, images())


def test_images_of_another_kind_are_refused(folder):
    save_checker(folder)
    checker = load(folder, safety_checker="on").safety_checker
    for wrong in (images().astype(np.float32), images()[0], images()[..., :1]):
        with pytest.raises(ValueError, match="uint8"):
            check_images(checker, wrong)
