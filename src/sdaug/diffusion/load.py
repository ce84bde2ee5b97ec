"""A generator made ready: weights read, prompts encoded, levers applied, networks where they run."""

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sdaug import plugins
from sdaug.config import ModelSettings
from sdaug.diffusion.adapters import Adapters, find_adapters, load_adapters
from sdaug.diffusion.components import Components
from sdaug.diffusion.generator import DiffusionGenerator
from sdaug.diffusion.prompts import NEGATIVE_PROMPT, PROMPT, Prompts, prompt_embeds
from sdaug.diffusion.reading import read_tiny_vae, read_vae_encoder
from sdaug.diffusion.safety import check_images
from sdaug.diffusion.weights import beside_vae, load_components
from sdaug.levers import AbstractLever, Pipeline, check_together
from sdaug.measure.stages import stage
from sdaug.types import Reason

log = logging.getLogger("sdaug.diffusion")


def load_generator(model: ModelSettings, levers: dict[str, dict[str, Any]]) -> DiffusionGenerator:
    """Weights read, prompt encoded, `levers` applied in order of their stages, networks on their device.

    levers: name -> options, as in YAML. Without any: float32 and torch's fused attention.
    Raises `PluginError` for an unknown lever or option, `WeightsError`, `LeverSkipped`, and `ValueError` for a device
    that cannot be. CUDA where there is none becomes the CPU: warned of, and `facts["degraded"]` says `no_gpu`. Random
    weights are no such step down, since they were asked for by name: `facts["reasons"]` says `random_weights`.
    """
    chosen = {name: plugins.load("sdaug.levers", name, options) for name, options in levers.items()}
    check_together(chosen)
    if not re.fullmatch(r"cpu|cuda(:\d+)?", model.device):
        raise ValueError(f"unknown device {model.device!r}; 'cpu', 'cuda' or 'cuda:' and a number expected")
    find_adapters(model)  # what is missing is known before gigabytes are read
    # Read in the number format they will have: float32 first would need twice the memory.
    parts = load_components(model, getattr(chosen.get("precision"), "dtype", "float32"))
    adapters = load_adapters(parts, model)
    if model.unet_id is not None:
        log.warning("the UNet of %s gets the ordinary prompt: no face embedding is put into it", model.unet_id)
    device, degraded = choose_device(model.device)
    pipeline = assemble(parts, device)
    try:
        pipeline.call.update(adapters.call)
        install(pipeline, list(chosen.values()))
        prompts = encoded_prompts(parts, pipeline.prompt_cache)
        facts = _facts(model, parts, pipeline, chosen, adapters, prompts) | {"degraded": degraded}
    except BaseException:
        pipeline.put_back()
        raise
    flags = None if parts.safety_checker is None else partial(check_images, parts.safety_checker)
    return DiffusionGenerator(pipeline, prompts.positive, prompts.negative, facts, adapters, flags)


def _facts(
    model: ModelSettings,
    parts: Components,
    pipeline: Pipeline,
    chosen: dict[str, AbstractLever],
    adapters: Adapters,
    prompts: Prompts,
) -> dict[str, Any]:
    import torch

    return {
        "model_id": model.model_id,
        "revision": model.pinned_revision,
        **_controlnet_facts(parts, model),
        "unet_id": model.unet_id,
        "unet_revision": model.unet_revision,
        "random": parts.random,
        "reasons": [Reason.RANDOM_WEIGHTS.value] if parts.random else [],
        "device": str(pipeline.device),
        "dtype": str(pipeline.dtype).removeprefix("torch."),
        "scheduler": type(parts.scheduler).__name__,
        "timestep_spacing": parts.scheduler.config.get("timestep_spacing"),
        "parameters": {
            name: sum(p.numel() for p in network.parameters())
            for name, network in pipeline.networks.items()
            if isinstance(network, torch.nn.Module)
        },
        "sha256": pipeline.digests,
        "adapters": adapters.facts,
        "pickled": list(parts.pickled),
        "safety_checker": parts.safety,
        "prompt_cache": {"from_cache": prompts.from_cache, "problem": prompts.problem},
        "levers": {name: lever.model_dump() for name, lever in chosen.items()},
        "call": dict(pipeline.call),
    }


def _controlnet_facts(parts: Components, model: ModelSettings) -> dict[str, str | None]:
    own = "random" if parts.random else model.model_id
    if parts.random or parts.files["controlnet"].parents[1] == parts.files["vae"].parents[1]:
        return {"controlnet_id": own, "controlnet_revision": None}
    return {"controlnet_id": model.controlnet_id, "controlnet_revision": model.pinned_controlnet_revision}


def assemble(parts: Components, device: Any) -> Pipeline:
    """The networks of `parts` as the loop wants them, still where they are. ControlNet gives up its hint network."""
    import torch

    hint = parts.controlnet.controlnet_cond_embedding
    parts.controlnet.controlnet_cond_embedding = torch.nn.Identity()
    return Pipeline(
        unet=parts.unet,
        controlnet=parts.controlnet,
        hint=hint,
        vae=parts.vae,
        scheduler=parts.scheduler,
        device=device,
        dtype=parts.unet.dtype,
        random=parts.random,
        digests=dict(parts.digests),
        read_vae_encoder=_vae_encoder_reader(parts),
        read_tiny_vae=_tiny_vae_reader(parts),
    )


def _vae_encoder_reader(parts: Components) -> Callable[[Any], dict[str, Any]] | None:
    path = parts.files.get("vae")
    if path is None:
        return parts.make_vae_encoder
    return partial(read_vae_encoder, path) if path.suffix == ".safetensors" else None


def _tiny_vae_reader(parts: Components) -> Callable[[str | None, str | None, Any], tuple[Any, str]] | None:
    make = parts.make_tiny_vae
    if parts.random:
        return None if make is None else lambda _name, _revision, dtype: make(dtype)
    return partial(read_tiny_vae, beside=beside_vae(parts.files), channels=parts.vae.config.latent_channels)


def apply(pipeline: Pipeline, levers: list[AbstractLever]) -> None:
    """Each lever in turn."""
    for lever in levers:
        lever.apply(pipeline)


def install(pipeline: Pipeline, levers: list[AbstractLever]) -> None:
    """All of `levers`, in order of their stages; the networks are then where they run."""
    for when in ("weights", "storage"):
        apply(pipeline, [lever for lever in levers if lever.stage == when])
    place(pipeline)
    apply(pipeline, [lever for lever in levers if lever.stage == "device"])


def place(pipeline: Pipeline) -> None:
    """Every network moved to the pipeline's device, unless a lever's hooks move them."""
    import torch

    if not pipeline.placed:
        for network in pipeline.networks.values():
            if isinstance(network, torch.nn.Module):
                network.to(pipeline.device)
        pipeline.placed = True


def encoded_prompts(parts: Components, cache: Path | None) -> Prompts:
    """Both prompts' embeddings: the random models' own, the cache's, or encoded now."""
    if parts.text is None:
        return Prompts(parts.prompt_embeds, parts.negative_prompt_embeds, from_cache=False)
    with stage("text"):
        return prompt_embeds(parts.text, PROMPT, NEGATIVE_PROMPT, cache)


def choose_device(asked: str) -> tuple[Any, list[str]]:
    """The torch device that `asked` is here, and why it is another one."""
    import torch

    device = torch.device(asked)
    if device.type == "cpu":
        return device, []
    if not torch.cuda.is_available():
        log.warning("no GPU here: %s was asked for, the CPU is used, in float32 unless a lever says otherwise", asked)
        return torch.device("cpu"), [Reason.NO_GPU.value]
    if (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {asked!r} is not here; there are {torch.cuda.device_count()} GPUs, from cuda:0")
    return device, []
