"""The prompts as embeddings, kept on disk so that the text encoder is not even read once they are known."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdaug.diffusion.components import TextFiles, WeightsInvalid
from sdaug.diffusion.reading import read_network
from sdaug.whole import write_whole

PROMPT = "a sharp photograph of a person's face, neutral expression, plain background, even light"
NEGATIVE_PROMPT = "blurry, drawing, painting, distorted face, extra face, text"

TOKENS = 77
"""Length of CLIP's text, with its two marks."""

log = logging.getLogger("sdaug.diffusion")


@dataclass(frozen=True, eq=False)
class Prompts:
    """positive, negative: (1, 77, D) float32 on the CPU. from_cache: no text encoder was read.

    problem: why a cache that was there was not used, or could not be written; empty where there was none.
    """

    positive: Any
    negative: Any
    from_cache: bool
    problem: str = ""


class _Unusable(Exception):
    """A cache file that must not be used; the message says why."""


def prompt_embeds(text: TextFiles, prompt: str, negative_prompt: str, cache: Path | None = None) -> Prompts:
    """Both prompts as `text` encodes them, from the folder `cache` where they are known.

    As diffusers' `encode_prompt` makes them without `clip_skip`. A cache file counts only if it was made by the same
    text encoder, tokenizer and prompts, and its tensors are the ones that were written; any other is logged, encoded
    anew and replaced. Raises `WeightsInvalid` for a text encoder that cannot be used, and `ValueError` for a prompt of
    more than 75 tokens, which diffusers would cut.
    """
    made_by = {
        "schema": "sdaug.prompts/1",
        **{f"{name}_sha256": digest for name, digest in sorted(text.digests.items())},
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "clip_skip": "none",
    }
    if cache is None:
        return Prompts(*_encode(text, prompt, negative_prompt), from_cache=False)
    path = cache / f"{hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:32]}.safetensors"
    problem = ""
    try:
        return Prompts(*_read(path, made_by, (1, TOKENS, text.width)), from_cache=True)
    except FileNotFoundError:
        pass
    except (_Unusable, OSError) as error:
        problem = f"prompt cache {path} is not used: {error}"
        log.warning("%s; the prompts are encoded anew", problem)
    positive, negative = _encode(text, prompt, negative_prompt)
    try:
        _write(path, positive, negative, made_by)
    except OSError as error:
        problem = f"prompt cache {path} cannot be written: {error}"
        log.warning("%s; the prompts will be encoded each time", problem)
    return Prompts(positive, negative, from_cache=False, problem=problem)


def _encode(text: TextFiles, prompt: str, negative_prompt: str) -> tuple[Any, Any]:
    import torch
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(text.tokenizer, local_files_only=True)
    tokens = [_tokens(tokenizer, words) for words in (prompt, negative_prompt)]
    encoder = read_network("text_encoder", text.weights)
    with torch.no_grad():
        # One after the other: together they would differ in the last bit.
        positive, negative = (encoder(ids, attention_mask=None)[0] for ids in tokens)
    for embeds in (positive, negative):
        if tuple(embeds.shape) != (1, TOKENS, text.width):
            wanted = (1, TOKENS, text.width)
            raise WeightsInvalid(f"{text.weights} makes embeddings of shape {tuple(embeds.shape)}; {wanted} expected")
        if not embeds.isfinite().all():
            raise WeightsInvalid(f"{text.weights} is damaged: not all numbers of a prompt's embedding are finite")
    return positive, negative


def _tokens(tokenizer: Any, words: str) -> Any:
    ids = tokenizer(words, padding="max_length", max_length=TOKENS, return_tensors="pt").input_ids
    if ids.shape[1] > TOKENS:
        raise ValueError(f"prompt {words!r} has {ids.shape[1] - 2} tokens; {TOKENS - 2} is the most that CLIP reads")
    return ids


def _read(path: Path, made_by: dict[str, str], shape: tuple[int, ...]) -> list[Any]:
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="pt") as file:
            found = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise _Unusable(f"damaged or cut short ({error})") from error
    for key, value in made_by.items():
        if found.get(key) != value:
            raise _Unusable(f"made for another {key.removesuffix('_sha256')} ({found.get(key)!r})")
    if set(tensors) != {"positive", "negative"}:
        raise _Unusable(f"holds {', '.join(sorted(tensors)) or 'nothing'}; positive and negative expected")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != shape or str(tensor.dtype) != "torch.float32":
            raise _Unusable(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; torch.float32 {shape} expected")
        if not tensor.isfinite().all():
            raise _Unusable(f"not all numbers of {name} are finite")
    both = [tensors["positive"], tensors["negative"]]
    if found.get("sha256") != _tensors_sha256(both):
        raise _Unusable("its tensors are not those that were written")
    return both


def _write(path: Path, positive: Any, negative: Any, made_by: dict[str, str]) -> None:
    """So that a reader sees a whole file or none, whatever else writes at the same time."""
    from safetensors.torch import save

    metadata = made_by | {"sha256": _tensors_sha256([positive, negative])}
    content = save({"positive": positive, "negative": negative}, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _tensors_sha256(tensors: list[Any]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
