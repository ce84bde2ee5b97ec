"""Loading, generating and cleaning up again and again: the process must not grow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import RunSettings
from sdaug.face.photo import read_photo
from sdaug.measure.memory import heap_in_use, meters
from sdaug.photos import photo_path

WARM_UP = 10
"""Rounds in which libraries load, caches fill and the heap finds its size."""

LIMIT = 0.05


@dataclass(frozen=True)
class Growth:
    """resident_bytes: this process's pages in RAM after each round; heap_bytes: what it has allocated and not freed,
    None where that cannot be read. The first `warm_up` rounds count for nothing."""

    resident_bytes: tuple[int, ...]
    heap_bytes: tuple[int | None, ...] = ()
    warm_up: int = WARM_UP

    @property
    def growth(self) -> float:
        """The highest value after the warm-up over the first one, less 1.

        >>> Growth((50, 100, 101, 104, 102), warm_up=1).growth
        0.04
        """
        steady = self.resident_bytes[self.warm_up :]
        return round(max(steady) / steady[0] - 1, 6)

    @property
    def heap_growth(self) -> float | None:
        """The same for the heap; a leak shows here, and pages that the heap keeps do not."""
        steady = [size for size in self.heap_bytes[self.warm_up :] if size is not None]
        return round(max(steady) / steady[0] - 1, 6) if steady else None

    @property
    def bytes_per_round(self) -> float:
        """The slope of a straight line through what comes after the warm-up.

        >>> Growth((0, 100, 102, 104, 106), warm_up=1).bytes_per_round
        2.0
        """
        steady = self.resident_bytes[self.warm_up :]
        return round(float(np.polyfit(np.arange(len(steady)), steady, 1)[0]), 1)

    def facts(self) -> dict[str, Any]:
        """For the result file."""
        return {
            "passed": self.growth <= LIMIT,
            "rounds": len(self.resident_bytes),
            "warm_up": self.warm_up,
            "growth": self.growth,
            "limit": LIMIT,
            "bytes_per_round": self.bytes_per_round,
            "heap_growth": self.heap_growth,
            "resident_bytes": list(self.resident_bytes),
        }


def endure(one_round: Callable[[], None], rounds: int, warm_up: int = WARM_UP) -> Growth:
    """What this process holds after each of `rounds` rounds; more than `warm_up`."""
    if rounds < warm_up + 2:
        raise ValueError(f"{rounds} rounds; at least two more than the {warm_up} that warm up expected")
    resident, heap = [], []
    for _ in range(rounds):
        one_round()
        heap.append(heap_in_use())
        resident.append(meters()["resident"])
    return Growth(tuple(resident), tuple(heap), warm_up)


SMALL_MODEL = RunSettings.model_validate(
    {"model": {"model_id": "random", "device": "cpu"}, "generation": {"num_inference_steps": 2, "num_angles": 2}}
)


def load_generate_cleanup(settings: RunSettings = SMALL_MODEL) -> Callable[[], None]:
    """One round: a new augmentor loads face pack and model, turns the built-in photo by diffusion, cleans up."""
    photo = read_photo(photo_path("astronaut"))

    def one_round() -> None:
        augmentor = GenerativeAugmentor(settings=settings)
        record = augmentor.augment(photo)
        augmentor.cleanup()
        if any(angle.raw is None for angle in record.angles):
            raise RuntimeError(f"diffusion made nothing: {[angle.degraded for angle in record.angles]}")

    return one_round
