"""Diffusion images of one photo's angles: made a batch at a time, handed out one by one."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from sdaug.config import GenerationSettings
from sdaug.diffusion.descent import Made, make
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.ladder import Diffused, GenerationFailed
from sdaug.types import Reason


class Batches:
    """Answers `ladder.Diffuse`: the first try at an angle comes from its batch, a second one is made alone.

    The jobs must be asked for in their order. identity: for the UNet, see `loop.Identity`. strict: memory that runs out
    is raised as it came, see `descent.make`.
    """

    def __init__(
        self,
        generator: DiffusionGenerator,
        jobs: Sequence[Job],
        settings: GenerationSettings,
        identity: Any = None,
        strict: bool = False,
    ):
        self._generator, self._settings, self._identity, self._strict = generator, settings, identity, strict
        self._jobs = {job.index: job for job in jobs}
        self._first = self._make(list(jobs), 1.0)

    @property
    def untrained(self) -> bool:
        """Whether the weights are random."""
        return self._generator.facts["random"]

    def _make(self, jobs: list[Job], share: float) -> Iterator[Made]:
        return make(self._generator, jobs, self._settings, identity=self._identity, share=share, strict=self._strict)

    def __call__(self, index: int, share: float) -> Diffused:
        started = time.perf_counter()
        if share == 1.0:
            made = next(self._first)
        else:
            made = next(self._make([self._jobs[index]], share))
        waited_s = time.perf_counter() - started
        result = made.result
        assert result is None or result.index == index, f"angle {index} was asked for, {result.index} came"
        if result is None:
            raise GenerationFailed(Reason.OUT_OF_MEMORY, made.message)
        if result.failure is not None:
            raise GenerationFailed(result.failure, result.message)
        assert result.image is not None and result.diffused is not None
        return Diffused(result.image, result.diffused, made.steps, made.share_s, waited_s)
