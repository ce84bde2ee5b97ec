"""The mission's targets beside what a setting is predicted to need, each with its meter."""

from dataclasses import dataclass, replace
from typing import Any

from sdaug.costmodel.device import Device
from sdaug.costmodel.figures import Figure, Interval
from sdaug.costmodel.predict import Machine
from sdaug.diffusion.budget import plan_of
from sdaug.diffusion.counted import remembered_peak
from sdaug.planning.plan import Planned

LIMITS = {"load_s": 15.0, "image_s": 2.0, "five_angles_s": 10.0, "gpu_gb": 8.0, "gpu_optimised_gb": 3.0, "host_gb": 4.0}
"""From the mission; seconds, and GB of 10^9 bytes."""

IMPORTS_S = Figure(
    12.0, 6.0, 25.0,
    "12.3 s of processor time to import everything and load sdaug-nano on one busy AMD EPYC core (the development "
    "machine, 2026-11-25); half to twice that assumed elsewhere",
)  # fmt: skip
RESIDENT_GB = Figure(
    1.3, 1.1, 1.6,
    "1.16 GB resident after loading sdaug-nano and 1.37 after two images, embedded pack (the development machine, "
    "2026-11-25), where there was no CUDA",
)  # fmt: skip
HOST_GB = Figure(
    1.3, 1.1, 2.5,
    RESIDENT_GB.source + "; the upper end leaves room for what CUDA's libraries take of a processor's memory",
)  # fmt: skip

STORAGE_GB_S = Figure(
    1.0,
    0.3,
    3.0,
    "judgement: where a computer keeps its files nobody asked; SATA 0.5 GB/s to NVMe 3 GB/s [M], less on a busy one",
)
"""Of a computer that no data file is of."""

METERS = {
    "load_s": "libraries imported and weights read from storage once, from files of 32 bits a weight, as `sdaug models "
    "pull` fetches them; the lower end: of 16 bits, --variant fp16. Digesting new files, compilation and engines are "
    "not in it",
    "image_s": "networks of one image, photo encoded in it; landmarks, warp and gate are not",
    "five_angles_s": "networks of five angles, as image_s",
    "gpu_gb": "torch.cuda.max_memory_allocated: PyTorch's tensors, counted; context and libraries are reserved_gb",
    "gpu_optimised_gb": "the same",
    "host_gb": "resident memory at loading, when the weights lie in the processor's memory before they move",
}


@dataclass(frozen=True)
class Target:
    """needs: predicted. holds: whether the prediction is below the limit; certain: whether its whole interval is on the
    same side of it."""

    limit: float
    needs: Interval
    meter: str

    @property
    def holds(self) -> bool:
        """Whether it is kept, as far as the prediction goes."""
        return self.needs.predicted < self.limit

    @property
    def certain(self) -> bool:
        """Whether both ends of the interval say the same."""
        return (self.needs.low < self.limit) == (self.needs.high < self.limit)

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "limit": self.limit,
            "predicted": self.needs.predicted,
            "low": self.needs.low,
            "high": self.needs.high,
            "holds": self.holds,
            "certain": self.certain,
            "meter": self.meter,
        }


def targets(planned: Planned, machine: Machine) -> dict[str, Target]:
    """All of the mission's, for a setting that is planned. Raises ValueError for one that was skipped."""
    if planned.one is None or planned.five is None or planned.allocated_gb is None:
        raise ValueError(f"{planned.asked.name} has no prediction: {planned.skipped}")
    allocated = Interval(planned.allocated_gb, planned.allocated_gb, planned.allocated_gb)
    weights = weights_read(planned)
    host = Interval(*(weights.held_gb + HOST_GB.at(bound) for bound in ("value", "low", "high")))
    needs = {
        "load_s": _load(weights, machine),
        "image_s": planned.one.seconds,
        "five_angles_s": planned.five.seconds,
        "gpu_gb": allocated,
        "gpu_optimised_gb": allocated,
        "host_gb": host,
    }
    return {name: Target(limit, needs[name], METERS[name]) for name, limit in LIMITS.items()}


def process_total(planned: Planned, machine: Machine) -> Interval:
    """GB that everything takes together where GPU and processor share one memory, each byte counted once: tensors, the
    process without CUDA, and CUDA's context and libraries; elsewhere the GPU's share: tensors, context, libraries."""
    tensors = planned.allocated_gb or 0.0
    beside: tuple[Figure, ...] = (RESIDENT_GB,)
    if isinstance(machine, Device):
        beside = (machine.reserved_gb,) if machine.context_gb is None else (RESIDENT_GB, machine.context_gb)
    return Interval(*(tensors + sum(one.at(bound) for one in beside) for bound in ("value", "low", "high")))


@dataclass(frozen=True)
class WeightsRead:
    """GB of UNet, ControlNet and the standard VAE, which is read even where the tiny one stands in.

    whole_gb, half_gb: of their files in 32 and in 16 bits a weight; held_gb: in the format that is computed in, before
    any is stored in 8 bits."""

    whole_gb: float
    half_gb: float
    held_gb: float


def weights_read(planned: Planned) -> WeightsRead:
    """Of a setting that is planned."""
    memory = plan_of(planned.asked.settings, planned.asked.settings.levers, 1)
    plain = replace(memory, vae="standard", fp8_storage=False, int8_linear=False)
    whole, half, held = (
        sum(remembered_peak(replace(plain, dtype=dtype)).weights.values()) / 1e9
        for dtype in ("float32", "float16", memory.dtype)
    )
    return WeightsRead(whole, half, held)


def _load(weights: WeightsRead, machine: Machine) -> Interval:
    storage = machine.storage_gb_s if isinstance(machine, Device) else STORAGE_GB_S
    return Interval(
        IMPORTS_S.value + weights.whole_gb / storage.value,
        IMPORTS_S.low + weights.half_gb / storage.high,
        IMPORTS_S.high + weights.whole_gb / storage.low,
    )
