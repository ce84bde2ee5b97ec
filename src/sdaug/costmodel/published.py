"""Predictions beside times that others published. A prediction has not seen its time, but where `seen` says so."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from sdaug.costmodel.device import Device, Runtime, load_device
from sdaug.costmodel.figures import Figure
from sdaug.costmodel.parts import count_part
from sdaug.costmodel.roofline import seconds
from sdaug.costmodel.work import Work, total


@dataclass(frozen=True)
class Published:
    """A time on somebody else's machine. it_s: denoising steps with guidance a second; s: seconds an image of `steps`;
    one of the two is given. controlled: ControlNet runs too. model: "sd15" or "sdxl". seen: whether the device's file
    was written with this figure at hand."""

    device: str
    runtime: Runtime
    source: str
    it_s: float | None = None
    s: float | None = None
    steps: int | None = None
    controlled: bool = False
    dtype: str = "float16"
    model: str = "sd15"
    seen: bool = False

    @property
    def measured_s(self) -> float:
        """Seconds of `work`."""
        return self.s if self.s is not None else 1 / (self.it_s or 0)

    @property
    def work(self) -> Work:
        """One denoising step, or a whole image."""
        if self.model == "sdxl":
            from sdaug.costmodel.sdxl import count_image

            return count_image(self.steps or 0)
        step: list[Work] = [count_part("unet_residuals" if self.controlled else "unet", 2)]
        step += [count_part("controlnet", 2), count_part("hint", 2)] if self.controlled else []
        if self.steps is None:
            return total(dict.fromkeys(step, 1))
        return total({**dict.fromkeys(step, self.steps), count_part("vae_decode"): 1})


@dataclass(frozen=True)
class Compared:
    """predicted_s, low_s, high_s: of the same work. fitted_to: figures of the same device and runtime, this one left
    out, that its efficiency is from; 0 where the device's file stands."""

    published: Published
    measured_s: float
    predicted_s: float
    low_s: float
    high_s: float
    fitted_to: int

    @property
    def error(self) -> float:
        """predicted / measured - 1."""
        return self.predicted_s / self.measured_s - 1

    @property
    def inside(self) -> bool:
        """Whether the measured time lies within the interval."""
        return self.low_s <= self.measured_s <= self.high_s

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"error": self.error, "inside": self.inside}


@dataclass(frozen=True)
class RatioCompared:
    """How much longer a step with ControlNet takes than one without; nothing is fitted."""

    device: str
    runtime: Runtime
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """predicted / measured - 1."""
        return self.predicted / self.measured - 1


def read_published() -> list[Published]:
    """All figures of `published.yaml`."""
    text = (files("sdaug.costmodel") / "published.yaml").read_text(encoding="utf-8")
    return [Published(**entry) for entry in yaml.safe_load(text)]


def fitted(device: Device, runtime: Runtime, figures: Iterable[Published], spread: float = 1.12) -> Device:
    """`device` with the efficiency of `runtime` that explains `figures` best: the geometric mean of what each asks for.

    spread: by which the efficiency may be higher or lower; that of a figure left out was within it but for compiled
    ControlNets. Launching is left out of the fit: at two images and more a desktop's processor keeps ahead but on an
    H100, where the efficiency stands for it.
    """
    found = list(figures)
    if not found:
        raise ValueError(f"no figure of {device.name} and {runtime} to fit to; expected one or more")
    ideal = _ideal(device, runtime)
    shares = [seconds(one.work, ideal, one.dtype, runtime).predicted / one.measured_s for one in found]
    value = float(np.exp(np.mean(np.log(shares))))
    figure = Figure(value, value / spread, value * spread, f"fitted to {len(found)} figures of published.yaml")
    return replace(ideal, efficiency={**device.efficiency, runtime: figure})


def compare() -> list[Compared]:
    """Each figure predicted without itself: fitted to the others of its group, or by the device's file alone."""
    known = read_published()
    rows = []
    for one in known:
        group = [
            other for other in known
            if (other.device, other.runtime, other.dtype) == (one.device, one.runtime, one.dtype) and other is not one
        ]  # fmt: skip
        device, rates = load_device(one.device), [other for other in group if other.it_s is not None]
        if one.it_s is not None:
            device = fitted(device, one.runtime, rates)
        found = seconds(one.work, device, one.dtype, one.runtime)
        used = len(rates) if one.it_s is not None else 0
        rows.append(Compared(one, one.measured_s, found.predicted, found.low, found.high, used))
    return rows


def held(rows: Iterable[Compared]) -> tuple[int, int]:
    """(measurements inside their intervals, measurements), of those that their prediction has not seen."""
    inside = [row.inside for row in rows if not row.published.seen]
    return sum(inside), len(inside)


def compare_ratios() -> list[RatioCompared]:
    """With ControlNet against without, for every device and runtime that both are published of by one source."""
    known = [one for one in read_published() if one.it_s is not None]
    rows = []
    for one in known:
        twin = [o for o in known if (o.device, o.runtime) == (one.device, one.runtime) and not o.controlled]
        twin = [o for o in twin if o.source.partition(";")[0] == one.source.partition(";")[0]]
        if one.controlled and twin:
            ideal = _ideal(load_device(one.device), one.runtime)
            with_it, without = (seconds(o.work, ideal, o.dtype, o.runtime).predicted for o in (one, twin[0]))
            rows.append(RatioCompared(one.device, one.runtime, one.measured_s / twin[0].measured_s, with_it / without))
    return rows


def _ideal(device: Device, runtime: Runtime) -> Device:
    """At its roof, and launched in no time."""
    one = Figure(1.0, 1.0, 1.0, "none: what is to be fitted")
    nothing = Figure(1e-9, 1e-9, 1e-9, "none: left out of a fit")
    return replace(device, efficiency={**device.efficiency, runtime: one}, launch_us=nothing)
