"""Counted, not timed: the memory of the recommended settings and their work beside the baseline's."""

from typing import Any

from sdaug.config import GenerationSettings
from sdaug.costmodel.call import Call, count_call
from sdaug.costmodel.memory import Plan, allocated_peak
from sdaug.diffusion.schedule import Evaluations, evaluations, plan_steps
from sdaug.diffusion.strength import number_of_steps
from sdaug.recipes import RECIPES

STOCK = GenerationSettings(
    num_inference_steps=20, guidance_scale=7.5, controlnet_conditioning_scale=0.65, strength=1.0, hole_strength=1.0
)
"""The baseline: an image a call, whole strength, guidance and ControlNet on every step."""

PLANS: dict[str, Plan] = {
    "standard_vae": Plan(images=5, vae_slicing=True, encoder_freed=True),
    "tiny_vae": Plan(images=5, vae="tiny", vae_slicing=True),
    "fp8": Plan(images=5, vae="tiny", vae_slicing=True, fp8_storage=True),
    "tiny_vae_one_at_a_time": Plan(images=1, vae="tiny"),
}
"""float16, 512 px, no guidance, no text encoder, no face adapter."""


def counted_peaks() -> dict[str, dict[str, Any]]:
    """Highest sum of tensors during a call, GB = 1e9 bytes; a count has no interval, so low and high are the value."""
    found = {}
    for name, plan in PLANS.items():
        peak = allocated_peak(plan)
        gb = peak.bytes / 1e9
        spread = {"value": gb, "low": gb, "high": gb}
        found[name] = spread | {"batch": plan.images, "dtype": plan.dtype, "phase": peak.phase}
    return found


def counted_ratios() -> dict[str, float]:
    """Floating-point operations of five angles, ours / stock's."""
    n = STOCK.num_inference_steps
    stock = count_call(Call(images=5, unet_guided=n, controlnet_guided=n, hint="every", dtype="float32")).flops
    same = Call(images=5, unet_guided=n, controlnet_guided=n, dtype="float32")
    ratios = {"same_settings": count_call(same).flops / stock}
    for name in RECIPES:
        ran = recipe_evaluations(name)
        call = Call(images=5, unet=ran.unet, controlnet=ran.controlnet, vae="tiny", dtype="float32")
        ratios[name] = count_call(call).flops / stock
    return ratios


def recipe(name: str, size: int = 512) -> GenerationSettings:
    """What the recipe asks for in a call."""
    return GenerationSettings(**RECIPES[name]["generation"], size=size)


def recipe_evaluations(name: str) -> Evaluations:
    """The passes of an image that has a hole."""
    settings = recipe(name)
    return evaluations(plan_steps(number_of_steps(settings.hole_strength, settings.num_inference_steps), settings))
