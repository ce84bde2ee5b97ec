"""What a loaded generator can do with less of, one step each, in the order in which they are taken.

Those that leave the picture as it is come first, then those that change it least.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sdaug import plugins
from sdaug.config import GenerationSettings
from sdaug.diffusion.components import WeightsError
from sdaug.diffusion.generator import DiffusionGenerator
from sdaug.diffusion.load import place
from sdaug.levers import LeverSkipped, Pipeline, check_together

TILE = 256
SMALLER = 384
"""Pixels a side: of the VAE's tiles, and of the smallest pictures that SD1.5 draws well."""

Take = Callable[[DiffusionGenerator, GenerationSettings, int], str | None]
"""Does it to a generator whose call with these settings, of that many images at once, ran out of memory. Says to what
extent, None where it would change nothing for such a call. Raises `LeverSkipped` where it cannot."""


@dataclass(frozen=True)
class Step:
    """name: a lever's or a generation setting's. repeated: whether it can be taken again after it was taken. halfway:
    whether one for which memory did not suffice has freed something all the same, which then stays."""

    name: str
    take: Take
    repeated: bool = False
    halfway: Callable[[DiffusionGenerator], bool] = lambda _: False


def _one_image_in_the_vae(generator: DiffusionGenerator, _: GenerationSettings, batch: int) -> str | None:
    if batch == 1 or getattr(generator.pipeline.vae, "use_slicing", False):
        return None
    _lever(generator, "vae_slicing").apply(generator.pipeline)
    return ""


def _half_the_angles(generator: DiffusionGenerator, _: GenerationSettings, batch: int) -> str | None:
    if batch == 1:
        return None
    generator.pipeline.caps["batch_size"] = batch // 2
    return str(batch // 2)


def _tiles(generator: DiffusionGenerator, now: GenerationSettings, _: int) -> str | None:
    vae = generator.pipeline.vae
    if now.size <= TILE or (getattr(vae, "use_tiling", False) and vae.tile_sample_min_size <= TILE):
        return None
    _lever(generator, "vae_tiling", tile=TILE).apply(generator.pipeline)
    return str(TILE)


def _another_vae(generator: DiffusionGenerator, _: GenerationSettings, __: int) -> str | None:
    import torch

    lever, pipeline = _lever(generator, "tiny_vae"), generator.pipeline
    old, digest, placed = pipeline.vae, pipeline.digests["vae"], pipeline.placed
    if not _rests(generator):
        raise LeverSkipped("an offload lever moves the VAE that is there by hooks of its own")
    try:
        lever.apply(pipeline)
    except WeightsError as error:
        raise LeverSkipped(f"its weights are not on this machine: {error}") from error
    try:
        pipeline.vae.use_slicing = old.use_slicing
        if getattr(old, "use_tiling", False):
            plugins.load("sdaug.levers", "vae_tiling", {"tile": TILE}).apply(pipeline)
        pipeline.placed = False
        place(pipeline)
    except Exception:
        pipeline.vae, pipeline.digests["vae"], pipeline.placed = old, digest, placed
        raise
    torch.nn.Module.to(old, "meta")
    generator.sources.posteriors.clear()  # they are the old one's
    generator.facts["parameters"]["vae"] = sum(p.numel() for p in pipeline.vae.parameters())
    return ""


def _rests(generator: DiffusionGenerator) -> bool:
    """Whether every network stays where it is."""
    taken = {step.split()[0] for step in generator.facts["resource_steps"]}
    return not {"model_cpu_offload", "sequential_cpu_offload"} & {*generator.facts["levers"], *taken}


def _eight_bits(generator: DiffusionGenerator, _: GenerationSettings, __: int) -> str | None:
    lever, pipeline = _lever(generator, "fp8_storage"), generator.pipeline
    try:
        lever.apply(pipeline)
    except Exception:
        _widen_halfway(pipeline)
        raise
    return ""


def _widen_halfway(pipeline: Pipeline) -> None:
    """The layer at which narrowing stopped, made one that can compute again; those before it widen themselves."""
    import torch

    for network in (pipeline.unet, pipeline.controlnet):
        for module in network.modules():
            own = module.parameters(recurse=False)
            if narrowing(module) is None and any(p.dtype == torch.float8_e4m3fn for p in own):
                torch.nn.Module.to(module, dtype=pipeline.dtype)


def _some_in_eight_bits(generator: DiffusionGenerator) -> bool:
    pipeline = generator.pipeline
    return any(narrowing(layer) for network in (pipeline.unet, pipeline.controlnet) for layer in network.modules())


def narrowing(module: Any) -> Any:
    """diffusers' hook that keeps a layer's weights in 8 bits between its runs, None where there is none."""
    registry = getattr(module, "_diffusers_hook", None)
    return registry.get_hook("layerwise_casting") if registry else None


def _weights_elsewhere(generator: DiffusionGenerator, _: GenerationSettings, __: int) -> str | None:
    import torch

    lever, pipeline = _lever(generator, "model_cpu_offload"), generator.pipeline
    if not pipeline.memory_of_its_own:
        raise LeverSkipped(f"{pipeline.device} has no memory of its own: offloading would free nothing")
    pipeline.placed = False
    for network in pipeline.networks.values():
        torch.nn.Module.to(network, "cpu")
    lever.apply(pipeline)
    return ""


def _smaller_pictures(generator: DiffusionGenerator, now: GenerationSettings, _: int) -> str | None:
    if now.size <= SMALLER:
        return None
    generator.pipeline.caps["size"] = SMALLER
    return str(SMALLER)


STEPS = (
    Step("vae_slicing", _one_image_in_the_vae),
    Step("batch_size", _half_the_angles, repeated=True),
    Step("vae_tiling", _tiles),
    Step("tiny_vae", _another_vae),
    Step("fp8_storage", _eight_bits, halfway=_some_in_eight_bits),
    Step("model_cpu_offload", _weights_elsewhere),
    Step("size", _smaller_pictures),
)


def _lever(generator: DiffusionGenerator, name: str, **options: Any) -> Any:
    """The lever. Raises `LeverSkipped` where it was applied at loading, or where one that was excludes it."""
    loaded = generator.facts["levers"]
    taken = {step.split()[0] for step in generator.facts["resource_steps"]}
    if name in loaded:
        raise LeverSkipped("it is on already")
    names = {*loaded, *(taken & set(plugins.names("sdaug.levers")))}
    lever = plugins.load("sdaug.levers", name, options)
    others = {other: plugins.load("sdaug.levers", other, loaded.get(other, {})) for other in names}
    check_together(others | {name: lever})
    return lever
