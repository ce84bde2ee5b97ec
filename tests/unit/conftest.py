"""A small Stable Diffusion as a folder in diffusers layout, as the hub would hold it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from sdaug.diffusion.prompts import NEGATIVE_PROMPT, PROMPT
from sdaug.diffusion.random_model import random_components


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    """The random components as a folder in diffusers layout, with a small CLIP text encoder and tokenizer."""
    folder = tmp_path_factory.mktemp("saved")
    parts = random_components()
    for name in ("unet", "controlnet", "vae", "scheduler"):
        getattr(parts, name).save_pretrained(folder / name)
    tokens, merges = ["<|startoftext|>", "<|endoftext|>"], []
    for word in sorted(set(f"{PROMPT} {NEGATIVE_PROMPT}".replace(",", " ,").replace("'", " '").split())):
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        tokens += pieces
        whole = pieces[0]
        for piece in pieces[1:]:
            merges.append(f"{whole} {piece}")
            whole += piece
            tokens.append(whole)
    (folder / "tokenizer").mkdir()
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    (folder / "tokenizer/vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer/merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n")
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "model")
