"""The plan of a machine: every setting's time and memory, what fits, what is worth a look, what is recommended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdaug.costmodel.call import Call
from sdaug.costmodel.parts import Dtype
from sdaug.costmodel.predict import Machine, Prediction, interval_json, predict
from sdaug.diffusion.budget import counted, not_counted
from sdaug.levers import LeverSkipped
from sdaug.planning.counted import counted_stages
from sdaug.planning.settings import Asked, Calls, calls_of
from sdaug.statistics.front import pareto_front

BUDGET_GB = 8.0
"""What the mission allows the GPU; less where a machine has less."""


@dataclass(frozen=True)
class Planned:
    """A setting's predictions, or why there are none.

    calls, one, five: None where `skipped` says why. allocated_gb: counted peak of PyTorch's tensors in the call of
    five; one_gb: of one image; memory_not_counted: levers and networks whose memory is in neither. fits: within the
    budget. on_front: no other that fits is both faster and smaller.
    """

    asked: Asked
    calls: Calls | None = None
    one: Prediction | None = None
    five: Prediction | None = None
    allocated_gb: float | None = None
    one_gb: float | None = None
    phase: str | None = None
    fits: bool = False
    on_front: bool = False
    skipped: str | None = None
    memory_not_counted: tuple[str, ...] = ()

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        head: dict[str, Any] = {"name": self.asked.name, "kind": "prediction", "skipped": self.skipped}
        if self.calls is None or self.one is None or self.five is None:
            unknown = dict.fromkeys(("latency_s", "five_angles_s", "allocated_gb"))
            return head | unknown | {"fits": False, "on_front": False}
        return head | {
            "latency_s": interval_json(self.one.seconds),
            "five_angles_s": interval_json(self.five.seconds),
            "allocated_gb": self.allocated_gb,
            "one_at_a_time_gb": self.one_gb,
            "fits": self.fits,
            "on_front": self.on_front,
            "peak_floor_s": self.one.floor_s,
            "roof_s": self.one.roof_s,
            "tflop": self.one.flops / 1e12,
            "counted": counted_stages(self.calls.one),
            "bound_by": self.one.bound_by,
            "stages_s": {name: interval_json(spent) for name, spent in self.one.stages.items()},
            "dtype": "int8" if self.calls.int8 else self.calls.one.dtype,
            "runtime": self.calls.runtime,
            "batch": self.calls.batch,
            "evaluations": {"unet": self.calls.ran.unet, "controlnet": self.calls.ran.controlnet,
                            "guided": self.calls.ran.unet_guided},
            "memory_phase": self.phase,
            "not_modelled": list(self.calls.not_modelled),
            "memory_not_counted": list(self.memory_not_counted),
        }  # fmt: skip


def plan(
    machine: Machine,
    asked: Sequence[Asked],
    budget_gb: float,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[Planned]:
    """Each setting predicted on `machine`, in order, those on the front of five angles' time and memory marked.

    budget_gb: of `allocated_gb`, GB of 10^9 bytes. Settings that do not apply there are kept, with the reason.
    """
    found = []
    for number, one in enumerate(asked):
        progress(one.name, number, len(asked))
        found.append(_planned(machine, one, budget_gb))
    progress("done", len(asked), len(asked))
    return _with_front(found)


def full_quality(machine: Machine, half: Dtype) -> Prediction:
    """The mission's 20 steps with guidance and ControlNet on all of them, one image. half: the machine's format."""
    return predict(Call(images=1, unet_guided=20, controlnet_guided=20, dtype=half), machine)


def _planned(machine: Machine, asked: Asked, budget_gb: float) -> Planned:
    try:
        calls = calls_of(asked.settings, machine)
        one, five = (predict(call, machine, calls.runtime, int8=calls.int8) for call in (calls.one, calls.five))
    except (LeverSkipped, ValueError) as error:
        return Planned(asked, skipped=str(error))
    peak, alone = (counted(asked.settings, asked.settings.levers, images) for images in (calls.batch, 1))
    allocated = peak.bytes / 1e9
    return Planned(
        asked, calls, one, five, allocated, alone.bytes / 1e9, peak.phase,
        fits=allocated <= budget_gb, memory_not_counted=not_counted(asked.settings, asked.settings.levers),
    )  # fmt: skip


def _with_front(found: list[Planned]) -> list[Planned]:
    small = [
        [np.nan, np.nan] if p.five is None or not p.fits else [p.five.seconds.predicted, p.allocated_gb] for p in found
    ]
    front = pareto_front(np.array(small, np.float64).reshape(-1, 2), np.empty((len(found), 0)))
    return [replace(planned, on_front=bool(on)) for planned, on in zip(found, front, strict=True)]
