"""GPUs as data files: what a device can do at best, what others attained on it, and how far that is to be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml

from sdaug.config import nearest
from sdaug.costmodel.figures import Figure, read_figure
from sdaug.costmodel.work import KINDS, Kind

Precision = Literal["float32", "tf32", "float16", "bfloat16", "int8"]
"""What arithmetic units compute in. tf32: what cuDNN convolves float32 in, by PyTorch's default."""

Runtime = Literal["eager", "graphs", "compiled", "engine"]
"""eager: PyTorch's kernels one by one. graphs: the same ones replayed from a CUDA graph. compiled: torch.compile, which
fuses elementwise kernels. engine: TensorRT."""

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)


@dataclass(frozen=True)
class Mode:
    """A power mode: clocks as shares of the ones that the device's figures are for, of the GPU times the share of its
    units that are on. source: of the three."""

    gpu: float
    memory: float
    cpu: float
    source: str


@dataclass(frozen=True)
class Device:
    """A GPU.

    peak: datasheet TFLOPS by precision (TOPS for int8), dense; no result can beat them. roof: attainable ones.
    bandwidth_peak, bandwidth: GB/s, pin rate and attainable. launch_us: of the processor for one kernel of PyTorch's.
    efficiency: by runtime, the roofline's time as a share of the real one. classes: the same by operator class, on top.
    modes: by name, the first one as shipped for benchmarks. memory_gb: on the board; reserved_gb: of it, taken by the
    system where the memory is unified, and by the GPU context and libraries. storage_gb_s: what weights are read at.
    known_as: patterns of what it calls itself, in its device tree or to its driver. context_gb: where memory is
    unified, of `reserved_gb` what CUDA adds to a process beside its tensors; None elsewhere.
    """

    name: str
    title: str
    memory_gb: float
    unified_memory: bool
    reserved_gb: Figure
    peak: Mapping[Precision, Figure]
    roof: Mapping[Precision, Figure]
    bandwidth_peak: Figure
    bandwidth: Figure
    launch_us: Figure
    efficiency: Mapping[Runtime, Figure]
    storage_gb_s: Figure
    classes: Mapping[Kind, Figure] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=dict)
    mode: str = ""
    known_as: tuple[str, ...] = ()
    context_gb: Figure | None = None

    def in_mode(self, name: str) -> "Device":
        """The device in one of its power modes. Raises ValueError for a mode that it has not."""
        if name not in self.modes:
            raise ValueError(f"{self.name} has no power mode {name!r}; {nearest(name, list(self.modes) or ['none'])}")
        mode = self.modes[name]
        return replace(
            self,
            mode=name,
            peak={key: figure.scaled(mode.gpu) for key, figure in self.peak.items()},
            roof={key: figure.scaled(mode.gpu) for key, figure in self.roof.items()},
            bandwidth_peak=self.bandwidth_peak.scaled(mode.memory),
            bandwidth=self.bandwidth.scaled(mode.memory),
            launch_us=self.launch_us.scaled(1 / mode.cpu),
        )


def device_names() -> list[str]:
    """Devices that there are files for, sorted.

    >>> "orin-agx-64" in device_names()
    True
    """
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


@cache
def load_device(name: str) -> Device:
    """The device `name` in its first power mode, or in the one named after a colon.

    Raises ValueError for a device or mode that there is none of.

    >>> load_device("orin-agx-64").peak["float16"].value, load_device("orin-agx-64:30W").mode
    (42.6, '30W')
    """
    device, _, mode = name.partition(":")
    if device not in device_names():
        raise ValueError(f"unknown device {device!r}; {nearest(device, [*device_names(), 'cpu'])}")
    found = read_device(device, _read(device))
    return found.in_mode(mode or next(iter(found.modes))) if found.modes or mode else found


def find_device(told: str, memory_gb: float) -> Device | None:
    """The device that calls itself `told` and has `memory_gb` within a quarter, in its first power mode; None where no
    file knows it. told: of a board, its model and the modules that it says it is compatible with.

    >>> find_device("NVIDIA Jetson AGX Orin Developer Kit nvidia,p3701-0005", 65.9).name
    'orin-agx-64'
    >>> find_device("NVIDIA GeForce RTX 4080 Laptop GPU", 12.0)
    """
    for device in map(load_device, device_names()):
        named = any(fnmatchcase(told, pattern) for pattern in device.known_as)
        if named and abs(memory_gb / device.memory_gb - 1) < 0.25:
            return device
    return None


def read_device(name: str, content: Mapping[str, Any]) -> Device:
    """The device that a data file's content describes. Raises ValueError naming the entry that is missing or wrong."""
    wanted = {
        "title", "memory_gb", "unified_memory", "reserved_gb", "peak_tflops", "roof_tflops", "bandwidth_peak_gb_s",
        "bandwidth_gb_s", "launch_us", "efficiency", "storage_gb_s",
    }  # fmt: skip
    odd = (wanted - set(content)) | (set(content) - wanted - {"classes", "modes", "known_as", "context_gb"})
    if odd:
        raise ValueError(f"device {name}: {', '.join(sorted(odd))}: missing or unknown; expected {sorted(wanted)}")

    if content["unified_memory"] != ("context_gb" in content):
        raise ValueError(f"device {name}: context_gb expected where memory is unified, and nowhere else")

    def figure(key: str) -> Figure:
        return read_figure(f"device {name}, {key}", content[key])

    return Device(
        name=name,
        title=content["title"],
        memory_gb=float(content["memory_gb"]),
        unified_memory=content["unified_memory"],
        reserved_gb=figure("reserved_gb"),
        peak=_figures(name, content, "peak_tflops", get_args(Precision)),
        roof=_figures(name, content, "roof_tflops", get_args(Precision)),
        bandwidth_peak=figure("bandwidth_peak_gb_s"),
        bandwidth=figure("bandwidth_gb_s"),
        launch_us=figure("launch_us"),
        efficiency=_figures(name, content, "efficiency", RUNTIMES),
        storage_gb_s=figure("storage_gb_s"),
        classes=_figures(name, content, "classes", KINDS),
        modes={mode: Mode(**shares) for mode, shares in content.get("modes", {}).items()},
        known_as=tuple(content.get("known_as", ())),
        context_gb=figure("context_gb") if "context_gb" in content else None,
    )


def _figures(name: str, content: Mapping[str, Any], key: str, known: tuple[Any, ...]) -> dict[Any, Figure]:
    entries = content.get(key, {})
    unknown = [entry for entry in entries if entry not in known]
    if unknown:
        raise ValueError(f"device {name}, {key}: unknown {unknown[0]!r}; {nearest(unknown[0], list(known))}")
    return {entry: read_figure(f"device {name}, {key}.{entry}", figure) for entry, figure in entries.items()}


def _folder() -> Any:
    return files("sdaug.costmodel") / "devices"


def _read(name: str) -> dict[str, Any]:
    """A file's content laid over that of the file it is `like`; groups of figures are laid over entry by entry."""
    content = yaml.safe_load((_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    if "like" not in content:
        return content
    whole = _read(content.pop("like"))
    for key, value in content.items():
        groups = key in ("peak_tflops", "roof_tflops", "efficiency", "classes")
        whole[key] = whole.get(key, {}) | value if groups else value
    return whole
