"""Whole calls of the pipeline as they are planned, on full-size random weights or a model's own."""

import time
from collections.abc import Iterator, Sequence
from functools import partial

from sdaug.bench.case import Case, LeftOut
from sdaug.bench.pipeline import any_job
from sdaug.config import GenerationSettings
from sdaug.costmodel.predict import Machine, predict
from sdaug.diffusion.budget import counted
from sdaug.diffusion.descent import forget_frames, out_of_memory
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.diffusion.load import load_generator
from sdaug.measure.memory import give_back
from sdaug.planning.settings import Asked, calls_of


def whole_cases(machine: Machine, asked: Sequence[Asked], device: str) -> Iterator[Case | LeftOut]:
    """One at a time, loaded when it is asked for and dropped before the next; settings that cannot be predicted or
    loaded, with the reason.

    Each makes as many images as its `num_angles` says, of a picture of nothing in particular all of which is to be
    made, so that every step runs.
    """
    for one in asked:
        settings = one.settings.model_copy(
            update={"model": one.settings.model.model_copy(update={"device": device.partition(":")[0]})}
        )
        images = settings.generation.num_angles
        try:
            calls = calls_of(settings, machine, images)
            predicted = predict(calls.five, machine, calls.runtime, int8=calls.int8)
            counted_bytes = counted(settings, settings.levers, calls.batch).bytes
            started = time.perf_counter()
            generator = load_generator(settings.model, settings.levers)
            load_s = time.perf_counter() - started
        except Exception as error:
            yield left_out(one.name, error)
            continue
        jobs = [any_job(calls.five.size, index) for index in range(images)]
        run, digests = partial(_run, one.name, generator, jobs, settings.generation), dict(generator.facts["sha256"])
        try:
            yield Case(one.name, "whole", run, predicted.seconds, predicted.floor_s, counted_bytes, load_s, digests)
        finally:
            generator.close()


def left_out(name: str, error: Exception) -> LeftOut:
    """A setting that failed with `error`, which then holds no tensors any more."""
    why = f"{type(error).__name__}: {error}"
    if out_of_memory(error):
        why = f"out of memory: {why}"
        forget_frames(error)
        give_back()
    return LeftOut(name, why)


def _run(name: str, generator: DiffusionGenerator, jobs: Sequence[Job], generation: GenerationSettings) -> None:
    """A call on a photo that was not seen before."""
    generator.sources.posteriors.clear()
    for made in generator.generate(jobs, generation):
        if made.image is None:
            raise RuntimeError(f"{name}: {made.message}")
