"""Prompt embeddings: the same as diffusers', and never taken from a cache that is not theirs."""

import importlib
import json
import logging
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from sdaug.config import ModelSettings
from sdaug.diffusion import prompts
from sdaug.diffusion.components import TextFiles, WeightsInvalid
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.prompts import NEGATIVE_PROMPT, PROMPT, Prompts, prompt_embeds
from sdaug.diffusion.weights import load_components


def text_of(folder: Path) -> TextFiles:
    text = load_components(ModelSettings(model_id=str(folder), device="cpu")).text
    assert text is not None
    return text


def embeds(text: TextFiles, cache: Path | None, prompt=PROMPT, negative_prompt=NEGATIVE_PROMPT) -> Prompts:
    return prompt_embeds(text, prompt, negative_prompt, cache)


def same(a: Prompts, b: Prompts) -> bool:
    return torch.equal(a.positive, b.positive) and torch.equal(a.negative, b.negative)


@pytest.fixture
def text(folder) -> TextFiles:
    return text_of(folder)


@pytest.fixture
def no_reading(monkeypatch):
    """From here on reading a text encoder fails the test."""
    return lambda: monkeypatch.setattr(prompts, "read_network", lambda *_: pytest.fail("the text encoder was read"))


def test_the_tokenizer_of_these_tests_keeps_words_whole(folder):
    tokens = CLIPTokenizer.from_pretrained(folder / "tokenizer").tokenize(PROMPT)
    assert "expression</w>" in tokens and len(tokens) < 30


def test_embeddings_equal_those_of_diffusers(folder, text):
    pipe = importlib.import_module("diffusers").StableDiffusionPipeline(
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        **dict.fromkeys(("vae", "scheduler", "safety_checker", "feature_extractor")),
        unet=None,
        requires_safety_checker=False,
    )
    with torch.no_grad():
        positive, negative = pipe.encode_prompt(PROMPT, torch.device("cpu"), 1, True, NEGATIVE_PROMPT)
    found = embeds(text, None)
    assert torch.equal(found.positive, positive) and torch.equal(found.negative, negative)
    assert not torch.equal(positive, negative) and not found.from_cache


def test_a_second_load_reads_no_text_encoder(folder, text, tmp_path, no_reading):
    first = embeds(text, tmp_path / "cache")
    no_reading()
    again = embeds(text_of(folder), tmp_path / "cache")
    assert again.from_cache and not first.from_cache and same(first, again)
    assert again.positive.dtype == torch.float32 and again.positive.shape == (1, 77, 32)
    assert first.problem == again.problem == ""


def test_the_digest_of_an_untouched_text_encoder_is_remembered(folder, text, monkeypatch):
    from sdaug.measure import remembered

    monkeypatch.setattr(remembered, "file_sha256", lambda path: pytest.fail(f"{path} was hashed again"))
    assert text_of(folder).digests == text.digests


@pytest.mark.parametrize("other", ["prompt", "negative_prompt"])
def test_another_prompt_is_encoded(text, tmp_path, other):
    first, second = embeds(text, tmp_path), embeds(text, tmp_path, **{other: "a person"})
    assert not second.from_cache and not same(first, second)
    assert embeds(text, tmp_path).from_cache and len(list(tmp_path.glob("*.safetensors"))) == 2


def change_a_weight(folder: Path) -> None:
    path = folder / "text_encoder/model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("final_layer_norm.bias"))
    tensors[name] += 1
    save_file(tensors, path, {"format": "pt"})


def change_the_activation(folder: Path) -> None:
    path = folder / "text_encoder/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_act": "relu"}))


def change_the_vocabulary(folder: Path) -> None:
    path = folder / "tokenizer/vocab.json"
    known = json.loads(path.read_text())
    known["face</w>"], known["sharp</w>"] = known["sharp</w>"], known["face</w>"]
    path.write_text(json.dumps(known))


@pytest.mark.parametrize("change", [change_a_weight, change_the_activation, change_the_vocabulary])
def test_another_model_is_encoded_anew(folder, text, tmp_path, change):
    first = embeds(text, tmp_path / "cache")
    change(folder)
    second = embeds(text_of(folder), tmp_path / "cache")
    assert not second.from_cache and not same(first, second)


def test_with_the_lever_a_second_generator_reads_no_text_encoder(folder, tmp_path, no_reading):
    settings = ModelSettings(model_id=str(folder), device="cpu"), {"prompt_cache": {"folder": str(tmp_path / "cache")}}
    first = load_generator(*settings)
    no_reading()
    again = load_generator(*settings)
    assert first.facts["prompt_cache"] == {"from_cache": False, "problem": ""}
    assert again.facts["prompt_cache"] == {"from_cache": True, "problem": ""}
    assert torch.equal(first.prompt_embeds, again.prompt_embeds)
    first.close(), again.close()


# -- a cache that is not what it seems


def rewrite(path: Path, tensors=None, **metadata: str) -> None:
    with safe_open(path, framework="pt") as file:
        written = file.metadata()
    save_file(load_file(path) | (tensors or {}), path, written | metadata)


def not_a_number(path: Path) -> None:
    positive = load_file(path)["positive"]
    positive[0, 3, 3] = torch.nan
    rewrite(path, {"positive": positive}, sha256=prompts._tensors_sha256([positive, load_file(path)["negative"]]))


DAMAGE = {
    "cut short": (lambda p: p.write_bytes(p.read_bytes()[:-9]), "damaged or cut short"),
    "empty": (lambda p: p.write_bytes(b""), "damaged or cut short"),
    "no safetensors": (lambda p: p.write_bytes(b"x" * 999), "damaged or cut short"),
    "of another model": (lambda p: rewrite(p, text_encoder_sha256="0" * 64), "made for another text_encoder"),
    "of another tokenizer": (lambda p: rewrite(p, tokenizer_sha256="0" * 64), "made for another tokenizer"),
    "of another prompt": (lambda p: rewrite(p, prompt="a cat"), "made for another prompt"),
    "of a later schema": (lambda p: rewrite(p, schema="sdaug.prompts/9"), "made for another schema"),
    "without metadata": (lambda p: save_file(load_file(p), p), "made for another schema"),
    "wrong shape": (lambda p: rewrite(p, {"positive": torch.zeros(1, 77, 16)}), r"\(1, 77, 32\) expected"),
    "half precision": (lambda p: rewrite(p, {"negative": torch.zeros(1, 77, 32).half()}), "torch.float16"),
    "a tensor too many": (lambda p: rewrite(p, {"third": torch.zeros(1)}), "positive and negative expected"),
    "not finite": (not_a_number, "not all numbers of positive are finite"),
    "other numbers": (lambda p: rewrite(p, {"negative": torch.zeros(1, 77, 32)}), "not those that were written"),
    "a flipped bit": (lambda p: flip_a_bit(p), "not those that were written"),
}


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_unusable_cache_is_logged_and_replaced(text, tmp_path, caplog, damage):
    inflict, message = DAMAGE[damage]
    first = embeds(text, tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    inflict(path)
    with caplog.at_level(logging.WARNING, "sdaug"):
        second, third = embeds(text, tmp_path), embeds(text, tmp_path)
    assert same(first, second) and same(first, third)
    assert (second.from_cache, third.from_cache) == (False, True)
    assert len(caplog.records) == 1
    assert re.search(message, second.problem) and second.problem in caplog.text


def test_a_cache_moved_over_from_another_model_is_not_used(saved, text, tmp_path, caplog):
    other = shutil.copytree(saved, tmp_path / "other")
    change_a_weight(other)
    foreign = embeds(text_of(other), tmp_path / "theirs")
    own = embeds(text, tmp_path / "ours")
    (theirs,), (ours,) = ((tmp_path / name).glob("*.safetensors") for name in ("theirs", "ours"))
    shutil.copy(theirs, ours)
    found = embeds(text, tmp_path / "ours")
    assert same(found, own) and not same(found, foreign) and "another text_encoder" in found.problem


def test_a_cache_that_cannot_be_written_costs_a_warning_only(text, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    found = embeds(text, tmp_path / "file" / "cache")
    assert "cannot be" in found.problem or "not used" in found.problem
    assert same(found, embeds(text, None)) and caplog.records


def test_a_full_disk_leaves_no_half_file(text, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "No space left" in embeds(text, tmp_path).problem
    assert not list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob("*.part"))


# -- what cannot be encoded


def test_a_prompt_that_would_be_cut_is_refused(text):
    with pytest.raises(ValueError, match="has 80 tokens; 75 is the most that CLIP reads"):
        embeds(text, None, prompt="face " * 80)


def test_a_text_encoder_may_hold_the_positions_that_sd15s_holds_and_no_other_surplus(folder):
    path = folder / "text_encoder/model.safetensors"
    tensors, expected = load_file(path), embeds(text_of(folder), None)
    published = {f"text_model.{name}": value for name, value in tensors.items()}
    save_file(published | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, path, {"format": "pt"})
    assert same(embeds(text_of(folder), None), expected)
    save_file(tensors | {"logit_scale": torch.zeros(1)}, path, {"format": "pt"})
    with pytest.raises(WeightsInvalid, match="1 tensors too many, the first logit_scale"):
        embeds(text_of(folder), None)


def test_a_text_encoder_with_a_tensor_missing_is_refused(folder, tmp_path):
    path = folder / "text_encoder/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 3}))
    with pytest.raises(WeightsInvalid, match="text_encoder/model.safetensors does not fit its config.json"):
        embeds(text_of(folder), tmp_path / "cache")


def test_a_text_encoder_that_makes_no_numbers_is_refused_and_not_cached(folder, tmp_path):
    path = folder / "text_encoder/model.safetensors"
    tensors = {name: value * torch.nan if "layer_norm" in name else value for name, value in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(WeightsInvalid, match="not all numbers of a prompt's embedding are finite"):
        embeds(text_of(folder), tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


def test_embeddings_of_another_width_are_refused(text):
    with pytest.raises(WeightsInvalid, match=r"shape \(1, 77, 32\); \(1, 77, 48\) expected"):
        embeds(replace(text, width=48), None)
