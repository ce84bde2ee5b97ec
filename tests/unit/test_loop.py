"""The own denoising loop against diffusers' stock pipelines, on the same weights, seeds and scheduler."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sdaug.config import GenerationSettings
from sdaug.diffusion.load import assemble
from sdaug.diffusion.loop import Conditions, Start, denoise
from sdaug.diffusion.random_model import random_components
from sdaug.diffusion.schedulers import SCHEDULERS, choose_scheduler
from sdaug.diffusion.source import SourceCache, decode, draw, seeds, to_tensor
from sdaug.diffusion.strength import first_steps

SIDE = 64
TOLERANCE = 1e-4
"""In units of a decoded pixel, whose range is 2."""
STOCK = ["ddim", "euler", "dpmsolver++", "lcm"]


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE)))


@pytest.fixture(scope="module")
def parts():
    return random_components()


@pytest.fixture(scope="module")
def pipeline():
    return assemble(random_components(), torch.device("cpu"))


def stock(parts, kind: str, scheduler: str | None, batch: int, **arguments) -> torch.Tensor:
    """Decoded pixels (B, 3, S, S) of a stock pipeline."""
    diffusers = importlib.import_module("diffusers")
    pipe = getattr(diffusers, f"StableDiffusionControlNet{kind}Pipeline")(
        vae=parts.vae,
        text_encoder=None,
        tokenizer=None,
        unet=parts.unet,
        controlnet=parts.controlnet,
        scheduler=choose_scheduler(parts.scheduler, scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    latents = pipe(
        image=[Image.fromarray(picture(i)) for i in range(batch)],
        control_image=[Image.fromarray(picture(9 - i)) for i in range(batch)],
        controlnet_conditioning_scale=0.65,
        generator=seeds(3, range(batch)),
        prompt_embeds=parts.prompt_embeds.repeat(batch, 1, 1),
        negative_prompt_embeds=parts.negative_prompt_embeds.repeat(batch, 1, 1),
        output_type="latent",
        **arguments,
    ).images
    with torch.no_grad():
        return pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample


@torch.no_grad()
def ours(parts, pipeline, scheduler, batch, begins, pure_noise=False, drawn_before_steps=0, **settings):
    chosen = GenerationSettings.model_validate(settings)
    generators = seeds(3, range(batch))
    posteriors = SourceCache().encode(pipeline, [picture(i) for i in range(batch)])
    source, noise = draw(pipeline, posteriors, generators)
    for generator in generators:
        for _ in range(drawn_before_steps):
            torch.randn(source[:1].shape, generator=generator)
    hints = pipeline.hint(torch.cat([to_tensor(picture(9 - i)) for i in range(batch)]))
    conditions = Conditions(parts.prompt_embeds, parts.negative_prompt_embeds, hints)
    start = Start(source, noise, begins, pure_noise)
    own = choose_scheduler(pipeline.scheduler, scheduler)
    return decode(pipeline, denoise(pipeline, own, start, conditions, chosen, generators))


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape and a.std() > 0.05
    return float((a - b).abs().max())


@pytest.mark.parametrize("scheduler", STOCK)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_one_strength_everywhere_is_the_stock_img2img(parts, pipeline, scheduler, batch, guidance_scale, strength):
    settings = dict(num_inference_steps=5, guidance_scale=guidance_scale)
    expected = stock(parts, "Img2Img", scheduler, batch, strength=strength, **settings)
    begins = first_steps(np.full((batch, SIDE // 8, SIDE // 8), strength), 5)
    assert largest_difference(ours(parts, pipeline, scheduler, batch, begins, **settings), expected) <= TOLERANCE


@pytest.mark.parametrize("scheduler", STOCK)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_mask_of_yes_and_no_is_the_stock_inpainting(parts, pipeline, scheduler, batch, guidance_scale, strength):
    settings = dict(num_inference_steps=5, guidance_scale=guidance_scale)
    hole = np.zeros((SIDE, SIDE), np.uint8)
    hole[16:40, 24:] = 255
    masks = [Image.fromarray(hole)] * batch
    expected = stock(parts, "Inpaint", scheduler, batch, strength=strength, mask_image=masks, **settings)
    strengths = np.repeat(hole[None, ::8, ::8] / 255.0 * strength, batch, 0)
    # The stock pipeline also encodes the masked image, and draws a sample for it, before the first step.
    made = ours(
        parts, pipeline, scheduler, batch, first_steps(strengths, 5), strength == 1.0, drawn_before_steps=1, **settings
    )
    assert largest_difference(made, expected) <= TOLERANCE


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_the_models_own_scheduler_may_be_sd15s_pndm(parts, strength):
    diffusers = importlib.import_module("diffusers")
    own = assemble(random_components(), torch.device("cpu"))
    own.scheduler = diffusers.PNDMScheduler.from_config(
        parts.scheduler.config, skip_prk_steps=True, timestep_spacing="leading", steps_offset=1
    )
    settings = dict(num_inference_steps=6, guidance_scale=7.5)
    expected = stock(replace(parts, scheduler=own.scheduler), "Img2Img", None, 2, strength=strength, **settings)
    begins = first_steps(np.full((2, SIDE // 8, SIDE // 8), strength), 6)
    assert largest_difference(ours(parts, own, None, 2, begins, **settings), expected) <= TOLERANCE


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_controlnet_stopped_early_is_stocks_answer_without_stocks_work(parts, pipeline, guidance_scale):
    settings = dict(num_inference_steps=6, guidance_scale=guidance_scale, control_guidance_end=0.5)
    expected = stock(parts, "Img2Img", "ddim", 3, strength=1.0, **settings)
    calls = []
    handle = pipeline.controlnet.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    begins = np.zeros((3, SIDE // 8, SIDE // 8), int)
    made = ours(parts, pipeline, "ddim", 3, begins, **settings)
    handle.remove()
    assert largest_difference(made, expected) <= TOLERANCE
    assert calls == [3 if guidance_scale == 1 else 6] * 3


def test_guidance_off_halves_both_networks_batches(parts, pipeline):
    seen = {"unet": [], "controlnet": []}
    handles = [
        getattr(pipeline, name).register_forward_hook(lambda _, args, __, name=name: seen[name].append(len(args[0])))
        for name in seen
    ]
    settings = dict(num_inference_steps=4, guidance_scale=50.0)
    begins = np.zeros((3, SIDE // 8, SIDE // 8), int)
    part = ours(parts, pipeline, "ddim", 3, begins, guidance_end=0.5, **settings)
    assert seen["unet"] == seen["controlnet"] == [6, 6, 3, 3]
    whole = ours(parts, pipeline, "ddim", 3, begins, **settings)
    none = ours(parts, pipeline, "ddim", 3, begins, num_inference_steps=4)
    for handle in handles:
        handle.remove()
    assert largest_difference(part, whole) > 1e-3 and largest_difference(part, none) > 1e-3
    # Each image of the batch is guided by its own prediction: alone it comes out the same.
    alone = ours(parts, pipeline, "ddim", 1, begins[:1], guidance_end=0.5, **settings)
    assert largest_difference(part[:1], alone) <= TOLERANCE


def test_the_guided_part_of_the_steps_is_diffusers_own_guidance_interval(parts, pipeline):
    """The same denoising written out with two plain schedulers: guided to the middle, unguided from there."""
    begins = np.zeros((1, SIDE // 8, SIDE // 8), int)
    settings = dict(num_inference_steps=4, guidance_scale=7.5, guidance_end=0.5, controlnet_conditioning_scale=0.0)
    made = ours(parts, pipeline, "ddim", 1, begins, **settings)
    generators = seeds(3, [0])
    with torch.no_grad():
        source, noise = draw(pipeline, SourceCache().encode(pipeline, [picture(0)]), generators)
        scheduler = choose_scheduler(parts.scheduler, "ddim")
        scheduler.set_timesteps(4)
        latents = scheduler.add_noise(source, noise, scheduler.timesteps[:1])
        for i, t in enumerate(scheduler.timesteps):
            positive = pipeline.unet(latents, t, parts.prompt_embeds).sample
            negative = pipeline.unet(latents, t, parts.negative_prompt_embeds).sample
            prediction = negative + 7.5 * (positive - negative) if i < 2 else positive
            latents = scheduler.step(prediction, t, latents).prev_sample
        expected = decode(pipeline, latents)
    assert largest_difference(made, expected) <= TOLERANCE


def test_controlnet_features_are_reused_between_its_runs(parts, pipeline):
    calls = []
    handle = pipeline.controlnet.register_forward_hook(lambda *_: calls.append(1))
    begins = np.zeros((2, SIDE // 8, SIDE // 8), int)
    reused = ours(parts, pipeline, "ddim", 2, begins, num_inference_steps=6, controlnet_interval=3)
    assert len(calls) == 2
    every = ours(parts, pipeline, "ddim", 2, begins, num_inference_steps=6)
    without = ours(parts, pipeline, "ddim", 2, begins, num_inference_steps=6, controlnet_conditioning_scale=0.0)
    handle.remove()
    off = largest_difference(reused, every)
    assert 0 < off < largest_difference(without, every)


def test_reuse_across_the_end_of_guidance_keeps_the_positive_half(parts, pipeline):
    begins = np.zeros((2, SIDE // 8, SIDE // 8), int)
    settings = dict(num_inference_steps=4, guidance_scale=7.5, guidance_end=0.5, controlnet_interval=4)
    both = ours(parts, pipeline, "ddim", 2, begins, **settings)
    alone = ours(parts, pipeline, "ddim", 1, begins[:1], **settings)
    assert largest_difference(both[:1], alone) <= TOLERANCE


def test_each_place_starts_at_its_own_step(parts, pipeline):
    """Differential diffusion: a place that never starts keeps the photo, one that starts early changes most."""
    strengths = np.repeat(np.linspace(0, 1, SIDE // 8)[None, :, None], SIDE // 8, 2)
    begins = first_steps(strengths, 10)
    assert sorted(set(begins.ravel())) == [0, 2, 3, 5, 6, 8, 9, 10]
    generators = seeds(3, [0])
    settings = GenerationSettings(num_inference_steps=10)
    with torch.no_grad():
        source, noise = draw(pipeline, SourceCache().encode(pipeline, [picture(0)]), generators)
        hints = pipeline.hint(to_tensor(picture(9)))
        conditions = Conditions(parts.prompt_embeds, parts.negative_prompt_embeds, hints)
        scheduler = choose_scheduler(parts.scheduler, "ddim")
        latents = denoise(pipeline, scheduler, Start(source, noise, begins), conditions, settings, generators)
        never = Start(source, noise, np.full_like(begins, 10))
        assert torch.equal(denoise(pipeline, scheduler, never, conditions, settings, generators), source)
    changed = (latents - source).abs().mean((0, 1, 3))
    assert torch.equal(latents[:, :, 0], source[:, :, 0])
    assert (changed[1:] > 0).all() and changed[-1] > 3 * changed[1]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_runs_and_is_deterministic(parts, pipeline, name):
    begins = np.zeros((2, SIDE // 8, SIDE // 8), int)
    begins[:, :2] = 2
    first = ours(parts, pipeline, name, 2, begins, num_inference_steps=4)
    assert torch.isfinite(first).all()
    assert torch.equal(first, ours(parts, pipeline, name, 2, begins, num_inference_steps=4))
