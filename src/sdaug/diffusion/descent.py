"""Out of memory: less is asked of it, one step at a time, and the same angles are tried again."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdaug.config import GenerationSettings
from sdaug.diffusion.generator import DiffusionGenerator, Generated, Job
from sdaug.diffusion.loop import Identity
from sdaug.types import Reason


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
) -> Iterator[Made]:
    """One `Made` for each job, in order, a batch at a time when its first is asked for."""
    most = generator.settings_for(settings).batch_size or len(jobs)
    for begin in range(0, len(jobs), most):
        batch = jobs[begin : begin + most]
        started = time.perf_counter()
        try:
            results = list(generator.generate(batch, settings, identity=identity))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            yield from (Made(None, message=str(error)) for _ in batch)
            continue
        share_s = (time.perf_counter() - started) / len(batch)
        yield from (Made(result, (), share_s) for result in results)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out: Python's, PyTorch's on CPU and GPU, Tegra's assertion about NVML."""
    if isinstance(error, MemoryError) or "NVML_SUCCESS == r" in str(error):
        return True
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, Exception) and should_reduce_batch_size(error)
