"""How long a whole call takes on a machine, stage by stage: predicted, with its interval and its floor."""

from dataclasses import dataclass
from typing import Any

from sdaug.costmodel import processor, roofline
from sdaug.costmodel.call import Call, pieces
from sdaug.costmodel.device import Device, Runtime
from sdaug.costmodel.figures import NOTHING, Interval
from sdaug.costmodel.parts import PartName
from sdaug.costmodel.processor import Processor
from sdaug.costmodel.work import Work, total

Machine = Device | Processor

STAGES: dict[PartName, str] = {
    "text_encoder": "prompts", "vae_encode": "encode", "tiny_encode": "encode", "hint": "hint",
    "controlnet": "controlnet", "unet": "unet", "unet_residuals": "unet", "vae_decode": "decode",
    "tiny_decode": "decode",
}  # fmt: skip
"""What `sdaug bench` calls the stage that a part belongs to."""

DENOISERS = ("controlnet", "unet")
"""The stages that a lever may compile, capture or replace by an engine; the others run eagerly."""


@dataclass(frozen=True)
class Prediction:
    """Of a call. stages: seconds by stage. flops: of the call. floor_s: what its arithmetic takes at the machine's
    peak, roof_s: at the rate that others attained (the same where that is not known). bound_by: what most of it is."""

    stages: dict[str, Interval]
    flops: int
    floor_s: float
    roof_s: float
    bound_by: str

    @property
    def seconds(self) -> Interval:
        """Of the whole call."""
        return sum(self.stages.values(), NOTHING)


def predict(call: Call, machine: Machine, runtime: Runtime = "eager", *, int8: bool = False) -> Prediction:
    """The time of `call` on `machine`. runtime: of UNet and ControlNet. int8: they are an int8 engine.

    Raises ValueError for a dtype or runtime that nothing is known of there.
    """
    stages: dict[str, Interval] = {}
    works: dict[Work, int] = {}
    bounds: dict[str, float] = {}
    for piece in pieces(call):
        stage = STAGES[piece.part]
        how: Runtime = runtime if stage in DENOISERS else "eager"
        dtype = "int8" if int8 and stage in DENOISERS else call.dtype
        took = work_seconds(piece.work, machine, dtype, how).times(piece.times)
        stages[stage] = stages.get(stage, NOTHING) + took
        works[piece.work] = works.get(piece.work, 0) + piece.times
        bound = _bound_by(piece.work, machine, dtype, how)
        bounds[bound] = bounds.get(bound, 0.0) + took.predicted
    flops = total(works).flops
    floor, roof = floors(flops, machine, "int8" if int8 else call.dtype)
    return Prediction(stages, flops, floor, roof, max(bounds, key=lambda name: bounds[name]))


def work_seconds(work: Work, machine: Machine, dtype: str, runtime: Runtime = "eager") -> Interval:
    """Predicted seconds of any counted work, `dtype` as it was counted in, or "int8"."""
    if isinstance(machine, Processor):
        return processor.seconds(work, machine, dtype)
    return roofline.seconds(work, machine, dtype, runtime)


def floors(flops: float, machine: Machine, dtype: str) -> tuple[float, float]:
    """Seconds at the machine's peak, which nothing can beat, and at the roof that others attained."""
    if isinstance(machine, Processor):
        floor = processor.floor_seconds(flops, machine, dtype)
        return floor, floor
    return roofline.floor_seconds(flops, machine, dtype), roofline.roof_seconds(flops, machine, dtype)


def _bound_by(work: Work, machine: Machine, dtype: str, runtime: Runtime) -> str:
    return "operators" if isinstance(machine, Processor) else roofline.bound_by(work, machine, dtype, runtime)


def interval_json(interval: Interval) -> dict[str, Any]:
    """As `sdaug plan --json` prints it."""
    return {"predicted": interval.predicted, "low": interval.low, "high": interval.high}
