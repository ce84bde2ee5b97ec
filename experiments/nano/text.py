"""The tokenizer and text encoder of sdaug-nano: its two prompts told apart, no understanding of words.

The encoder is never trained: seeded random numbers give each prompt its own embedding, and the UNet learns what the two
stand for.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from networks import WIDTH

from sdaug.diffusion.components import TextFiles
from sdaug.diffusion.prompts import NEGATIVE_PROMPT, PROMPT, TOKENS, Prompts, prompt_embeds

START, END = "<|startoftext|>", "<|endoftext|>"


def write_text(folder: Path, dtype: torch.dtype = torch.float16, seed: int = 0) -> None:
    """`tokenizer/` and `text_encoder/` in `folder`, as CLIP's lie in a Stable Diffusion."""
    transformers: Any = importlib.import_module("transformers")
    merges = _merges([PROMPT, NEGATIVE_PROMPT])
    letters = list(importlib.import_module("tokenizers").pre_tokenizers.ByteLevel.alphabet())
    words = [*sorted(letters), *(f"{letter}</w>" for letter in sorted(letters)), *("".join(pair) for pair in merges)]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([*words, START, END]))}
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True, exist_ok=True)
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (tokenizer / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"model_max_length": TOKENS, "bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    settings["tokenizer_class"] = "CLIPTokenizer"  # type: ignore[assignment]
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    config = transformers.CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        encoder = transformers.CLIPTextModel(config)
    # Trained weights are larger than those one starts from; with these every place of a prompt would look the same.
    for parameter in encoder.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(10)
    encoder.to(dtype).save_pretrained(folder / "text_encoder")


def read_prompts(folder: Path) -> Prompts:
    """Both prompts' embeddings, by the code that encodes any model's."""
    weights = folder / "text_encoder" / "model.safetensors"
    return prompt_embeds(TextFiles(weights, folder / "tokenizer", WIDTH, {}), PROMPT, NEGATIVE_PROMPT)


def _merges(texts: list[str]) -> list[tuple[str, str]]:
    """Byte pairs joined in the order of how often they stand beside each other, until every word is one token."""
    words = [[*word[:-1], f"{word[-1]}</w>"] for text in texts for word in text.lower().replace(",", " ,").split()]
    merges: list[tuple[str, str]] = []
    while True:
        counts: dict[tuple[str, str], int] = {}
        for word in words:
            for pair in zip(word, word[1:], strict=False):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            return merges
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        words = [_joined(word, best) for word in words]


def _joined(word: list[str], pair: tuple[str, str]) -> list[str]:
    made: list[str] = []
    for part in word:
        if made and (made[-1], part) == pair:
            made[-1] += part
        else:
            made.append(part)
    return made
