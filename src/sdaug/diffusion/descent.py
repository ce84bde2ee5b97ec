"""Out of memory: it is freed, one thing less is asked for, and the same angles are tried again.

What is given up for memory, in this order: more than one image in the VAE at once (free), half of the angles at once,
and so on down to one, the VAE in one piece (or altogether, for a tiny one whose weights are here), 16 bits a weight,
weights that stay on the GPU (only where its memory is its own), pictures larger than 384 px.
"""

import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdaug.config import GenerationSettings
from sdaug.diffusion.components import WeightsError
from sdaug.diffusion.generator import DiffusionGenerator, Generated, Job
from sdaug.diffusion.load import place
from sdaug.diffusion.loop import Identity
from sdaug.diffusion.steps import STEPS, Step, narrowing
from sdaug.levers import LeverSkipped
from sdaug.measure.memory import give_back
from sdaug.types import Reason

log = logging.getLogger("sdaug.diffusion")


@dataclass(frozen=True)
class Made:
    """What came of one angle, and at what cost.

    result: None where memory ran out on the last step as well; `message` is then the last error. steps: why less was
    asked for than by the settings. share_s: this angle's part of its batch's seconds.
    """

    result: Generated | None
    steps: tuple[Reason, ...] = ()
    share_s: float = 0.0
    message: str = ""


def make(
    generator: DiffusionGenerator,
    jobs: Sequence[Job],
    settings: GenerationSettings,
    *,
    identity: Identity | None = None,
    share: float = 1.0,
    strict: bool = False,
) -> Iterator[Made]:
    """One `Made` for each job, in order, a batch at a time when its first is asked for.

    share: of the strengths, see `DiffusionGenerator.generate`. A step down stays for the rest of the generator's life;
    `facts["resource_steps"]` lists them. strict: none is taken, running out of memory is raised as it came. No error
    keeps tensors alive.
    """
    waiting = list(jobs)
    while waiting:
        started = time.perf_counter()
        batch = waiting[: generator.settings_for(settings).batch_size]
        problem, results = "", []
        try:
            place(generator.pipeline)
            results = list(generator.generate(batch, settings, identity=identity, share=share))
        except Exception as error:
            if not out_of_memory(error):
                raise
            forget_frames(error)
            if strict:
                raise error
            problem = f"{type(error).__name__}: {error}"
        if problem:
            free(generator)
            if step_down(generator, settings, len(batch), problem):
                continue
        waiting = waiting[len(batch) :]
        steps = (Reason.OUT_OF_MEMORY,) if generator.facts.get("resource_steps") else ()
        if problem:
            yield from (Made(None, steps, message=problem) for _ in batch)
        else:
            share_s = (time.perf_counter() - started) / len(batch)
            yield from (Made(result, steps, share_s) for result in results)


def step_down(generator: DiffusionGenerator, settings: GenerationSettings, batch: int, problem: str) -> bool:
    """Asks for less than the call of `batch` images that failed with `problem`; False where nothing is left.

    What could not be done is in `facts["resource_steps_left_out"]`, with the reason.
    """
    taken = generator.facts.setdefault("resource_steps", [])
    left_out = generator.facts.setdefault("resource_steps_left_out", {})
    now = generator.settings_for(settings)
    for step in STEPS:
        done = step.name in left_out or (not step.repeated and any(s.split()[0] == step.name for s in taken))
        extent = None if done else _take(step, generator, now, batch)
        if extent is not None:
            taken.append(f"{step.name} {extent}".strip())
            log.warning("out of memory; from now on with %s (%s)", taken[-1], problem.splitlines()[0])
            return True
    return False


def _take(step: Step, generator: DiffusionGenerator, now: GenerationSettings, batch: int) -> str | None:
    halfway = False
    try:
        return step.take(generator, now, batch)
    except (LeverSkipped, WeightsError) as error:
        why_not = str(error)
    except Exception as error:
        if not out_of_memory(error):
            raise
        forget_frames(error)
        why_not = f"memory ran out while it was done: {type(error).__name__}: {error}"
        halfway = step.halfway(generator)
    free(generator)
    if halfway:
        return "partly"
    generator.facts["resource_steps_left_out"][step.name] = why_not
    return None


def free(generator: DiffusionGenerator) -> None:
    """What the last call left behind: latents of photos, what levers keep, garbage, PyTorch's unused pool."""
    import torch

    generator.sources.posteriors.clear()
    for give_up in generator.pipeline.spare:
        give_up()
    for network in generator.pipeline.networks.values():
        for layer in network.modules() if isinstance(network, torch.nn.Module) else ():
            hook = narrowing(layer)
            if hook is not None:  # it may have failed between widening its weights and narrowing them again
                layer.to(dtype=hook.storage_dtype)
    give_back()


def forget_frames(error: BaseException) -> None:
    """Takes the traceback from `error` and from what led to it: frames hold tensors, and clearing them is not enough,
    since closures of theirs do as well. Where it was is logged."""
    if error.__traceback__ is not None:
        place = traceback.extract_tb(error.__traceback__)[-1]
        log.info("memory ran out in %s, %s line %s: %s", place.name, place.filename, place.lineno, error)
    link: BaseException | None = error
    while link is not None and (link is error or link.__traceback__ is not None):
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out: Python's and numpy's, OpenCV's, cuBLAS', ONNX Runtime's, PyTorch's on
    CPU and GPU, and Tegra's, where PyTorch asserts something about NVML instead (pytorch/pytorch#130486)."""
    if isinstance(error, MemoryError) or any(word in str(error) for word in _WORDS):
        return True
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, Exception) and should_reduce_batch_size(error)


_WORDS = (
    "NVML_SUCCESS == r",
    "out of memory",
    "Cannot allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",  # its workspace could not be had
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "Failed to allocate memory for requested buffer",
    "Insufficient memory",
)
