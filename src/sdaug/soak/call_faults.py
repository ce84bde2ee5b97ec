"""After memory ran out: no angle lost that less would have made, nothing kept alive, and the next call works."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np

from sdaug.config import GenerationSettings, ModelSettings
from sdaug.diffusion.descent import Made, make
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.steps import STEPS
from sdaug.soak.faults import KINDS, STAGES, UNTIL, Fault, injected, live_bytes
from sdaug.types import Pose, Reason, View

SIDE = 64
ANGLES = 6
CHUNKS = {"first": 0, "middle": 2, "last": 5}
"""An angle of each batch of two."""

SETTINGS = GenerationSettings(num_inference_steps=3, hole_strength=1.0, size=SIDE, batch_size=2)
SAME_PICTURE = ("vae_slicing", "batch_size")


def all_faults() -> Iterator[Fault]:
    """Every stage, chunk, depth and wording."""
    for stage, angle, until, kind in product(STAGES, CHUNKS.values(), UNTIL, KINDS):
        yield Fault(stage, angle, until, kind)


def problems_of(fault: Fault) -> list[str]:
    """What goes wrong under `fault`, nothing if all is well."""
    generator = load_generator(ModelSettings(model_id="random", device="cpu"), {})
    try:
        return list(_problems(generator, fault))
    finally:
        generator.close()


def _problems(generator: DiffusionGenerator, fault: Fault) -> Iterator[str]:
    gc.collect()
    at_start = live_bytes()
    made: list[Made] = []
    rungs: list[tuple[str, ...]] = []
    with injected(generator, fault) as watched:
        for one in make(generator, jobs(), SETTINGS):
            rungs.append(tuple(generator.facts.get("resource_steps", [])))
            if one.result is not None:
                if one.result.index != len(made):
                    yield f"angle {one.result.index} came in the place of {len(made)}"
                yield from _difference(len(made), one.result.image, rungs[-1])
                # The picture is compared; kept, its pixels would count among the tensors that are still there.
                one = replace(one, result=replace(one.result, image=None, diffused=None))
            made.append(one)
    if not watched.raised:
        yield "the fault was never met"
    for index, (one, rung) in enumerate(zip(made, rungs, strict=True)):
        if one.result is None:
            if (fault.until, index) != ("always", fault.angle):
                yield f"angle {index} is lost"
        elif (Reason.OUT_OF_MEMORY in one.steps) != bool(rung):
            yield f"angle {index}, made with {rung}, says {one.steps}"
    if len(made) != ANGLES:
        yield f"{len(made)} of {ANGLES} angles came"
    if fault.until == "always" and made[fault.angle].result is not None:
        yield "an angle was made although memory never sufficed"
    if watched.alive:
        yield f"{watched.alive} tensors of a failed attempt were there at the next one"
    again = [live for live, failed in zip(watched.live_before, watched.failed_before, strict=True) if failed]
    if again and max(again) > at_start:
        yield f"{max(again) - at_start} bytes more than at the start when an attempt was repeated"
    last = rungs[-1]
    for index, one in enumerate(make(generator, jobs(), SETTINGS)):
        if one.result is None:
            yield f"the next call has no angle {index}"
        else:
            yield from _difference(index, one.result.image, last)
    if (now := tuple(generator.facts.get("resource_steps", []))) != last:
        yield f"the next call ran with {now} and not with {last}"
    del one
    generator.sources.posteriors.clear()
    gc.collect()
    if live_bytes() > at_start:
        yield f"{live_bytes() - at_start} bytes more than at the start once it was over"


def _difference(index: int, image: np.ndarray | None, rung: tuple[str, ...]) -> Iterator[str]:
    expected = alone(tuple(step for step in rung if step.split()[0] not in SAME_PICTURE))[index]
    apart = 255 if image is None else int(np.abs(image.astype(int) - expected).max())
    if apart > 1:
        yield f"angle {index} differs by {apart} levels from what {rung} makes of it alone"


@cache
def alone(rung: tuple[str, ...]) -> list[np.ndarray]:
    """Each angle made by itself, by a generator that never knew anything but `rung`."""
    generator = load_generator(ModelSettings(model_id="random", device="cpu"), {})
    generator.facts["resource_steps"] = []
    for step in rung:
        take = {s.name: s.take for s in STEPS}[step.split()[0]]
        assert take(generator, SETTINGS, 1) is not None, step
    pictures = []
    for job in jobs():
        (result,) = generator.generate([job], SETTINGS)
        assert result.image is not None
        pictures.append(result.image)
    generator.close()
    return pictures


@cache
def jobs() -> tuple[Job, ...]:
    """Six angles of nobody: coarse noise, of which the photo shows nothing."""
    made = []
    for index in range(ANGLES):
        coarse = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = np.kron(coarse, np.ones((SIDE // 8, SIDE // 8, 1), np.uint8))
        unseen = np.zeros((SIDE, SIDE), np.float32)
        view = View(Pose(0, 0), image, unseen, unseen < 0.25, np.zeros((478, 3), np.float32))
        made.append(Job(index, view, 255 - image))
    return tuple(made)
