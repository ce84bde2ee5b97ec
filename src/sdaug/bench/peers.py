"""What a user would write instead: diffusers' pipeline with what its guides recommend, timed beside ours."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdaug.bench.counted import STOCK
from sdaug.bench.forwards import Forwards
from sdaug.config import GenerationSettings


@dataclass(frozen=True)
class Peer:
    """variant: the call that was timed for it. steps: how many it makes; those beyond the timed ones are added up."""

    variant: str
    steps: int
    what: str


PEERS = {
    "steps_50": Peer("stock", 50, "50 steps, guidance 7.5"),
    "steps_20": Peer("stock", 20, "20 steps, guidance 7.5"),
    "attention_slicing_50": Peer("attention_slicing", 50, "the same with enable_attention_slicing, 50 steps"),
    "attention_slicing_20": Peer("attention_slicing", 20, "the same with enable_attention_slicing, 20 steps"),
    "lcm_lora_4": Peer(
        "lcm", 4, "LCMScheduler, 4 steps without guidance, as with the LCM LoRA fused (fused weights cost nothing more)"
    ),
}

TIMED_STEPS = {"attention_slicing": 1, "lcm": 2}
"""Of each variant beside stock itself; every step of a variant costs the same."""


def peer_settings(variant: str, same: GenerationSettings) -> GenerationSettings:
    """What the variant's timed call asks for."""
    guidance = 1.0 if variant == "lcm" else STOCK.guidance_scale
    return same.model_copy(update={"num_inference_steps": TIMED_STEPS[variant], "guidance_scale": guidance})


@contextmanager
def as_variant(pipe: Any, variant: str) -> Iterator[Any]:
    """Diffusers' pipeline as the variant has it; afterwards as it was."""
    if variant == "lcm":
        diffusers: Any = importlib.import_module("diffusers")
        before = pipe.scheduler
        pipe.scheduler = diffusers.LCMScheduler.from_config(before.config)
        try:
            yield pipe
        finally:
            pipe.scheduler = before
        return
    pipe.enable_attention_slicing()
    try:
        yield pipe
    finally:
        pipe.disable_attention_slicing()


def peer_seconds(measured: Mapping[str, Forwards], steps: int, angles: int) -> dict[str, float]:
    """Seconds for `angles` images, one a call, by peer. measured: a call by variant. steps: of stock's timed call."""
    found = {}
    for name, peer in PEERS.items():
        call = measured[peer.variant]
        left = peer.steps - TIMED_STEPS.get(peer.variant, steps)
        found[name] = angles * (call.seconds + left * step_seconds(call))
    return found


def step_seconds(call: Forwards) -> float:
    """A step's mean: one pass of the UNet and one of ControlNet."""
    return sum(float(np.mean(call.of(stage))) for stage in ("unet", "controlnet"))


def peer_calls(
    pipe: Any, same: GenerationSettings, call: Callable[[Any, GenerationSettings], Forwards]
) -> dict[str, Callable[[], Forwards]]:
    """A timed call by variant. call: (pipeline, settings) -> what it cost."""

    def of(variant: str) -> Callable[[], Forwards]:
        def run() -> Forwards:
            with as_variant(pipe, variant):
                return call(pipe, peer_settings(variant, same))

        return run

    return {variant: of(variant) for variant in TIMED_STEPS}
