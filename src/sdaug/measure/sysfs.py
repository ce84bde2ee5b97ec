"""Clocks, temperatures, power and power mode from the kernel's files; a Jetson tells all of them, a desktop some.

Where each lies: INA3221 power monitors under /sys/class/hwmon (kernel documentation, hwmon/ina3221: voltage in mV,
current in mA, `in*_label` naming the rail), thermal zones under /sys/class/thermal (millidegrees), GPU's clock under
/sys/class/devfreq (Hz), processors' under /sys/devices/system/cpu (kHz), the power mode in /var/lib/nvpmodel/status.
Which rails there are is NVIDIA's Jetson Linux Developer Guide's (platform power and performance, INA3221 channels).
The tests read files made up after those documents and public reports; on a board it was read by nobody yet.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/")

MODULE = "VDD_IN"
"""The rail that feeds a whole module, on Orin NX and Orin Nano; the others of theirs are parts of it."""

PARTS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
"""The rails that feed an AGX Orin's module together, which has no rail for the whole."""

CARD = "GPU"
"""What `board.py` calls the power of a whole card."""


@dataclass(frozen=True)
class BoardState:
    """What one look at a device shows; None, or an empty mapping, where it does not tell.

    power_mw: by rail; clocks_mhz: gpu, cpu0, cpu1...; temperatures_c: by zone; throttled: cooling devices that hold
    something back now. power_mode: nvpmodel's number, or a card's performance state.
    """

    power_mw: dict[str, float]
    clocks_mhz: dict[str, float]
    temperatures_c: dict[str, float]
    throttled: tuple[str, ...]
    power_mode: str | None

    @property
    def total_of(self) -> tuple[str, ...]:
        """The rails whose sum `total_mw` is: a module's own, else its parts and a card; those of them that tell."""
        wanted = (MODULE,) if MODULE in self.power_mw else (*PARTS, CARD)
        return tuple(rail for rail in wanted if rail in self.power_mw)

    @property
    def total_mw(self) -> float | None:
        """Of a Jetson's module, memory and the rest of it included, or of a card; None where neither tells."""
        return sum(self.power_mw[rail] for rail in self.total_of) if self.total_of else None

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"total_mw": self.total_mw, "total_of": self.total_of}


def is_tegra(root: Path = ROOT) -> bool:
    """Whether this is a Jetson: it has L4T's release file, or its device tree says so."""
    compatible = root / "proc/device-tree/compatible"
    return (root / "etc/nv_tegra_release").exists() or "nvidia,tegra" in _text(compatible)


def read_sysfs(root: Path = ROOT) -> BoardState:
    """The machine's state now, cards of their own apart. root: where /sys, /proc and /var lie."""
    return BoardState(_power(root), _clocks(root), _temperatures(root), _throttled(root), _power_mode(root))


def _power(root: Path) -> dict[str, float]:
    rails = {}
    for monitor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _text(monitor / "name") != "ina3221":
            continue
        for label in sorted(monitor.glob("in*_label")):
            number = label.name.removeprefix("in").removesuffix("_label")
            millivolts, milliamperes = _number(monitor / f"in{number}_input"), _number(monitor / f"curr{number}_input")
            if millivolts is not None and milliamperes is not None:
                rails[_text(label)] = millivolts * milliamperes / 1e3
    return rails


def _clocks(root: Path) -> dict[str, float]:
    found = {}
    for device in sorted((root / "sys/class/devfreq").glob("*")):
        hertz = _number(device / "cur_freq")
        if hertz is not None and re.search(r"ga10b|gv11b|gpu", device.name):
            found["gpu"] = hertz / 1e6
    for core in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*")):
        kilohertz = _number(core / "cpufreq/scaling_cur_freq")
        if kilohertz is not None:
            found[core.name] = kilohertz / 1e3
    return found


def _temperatures(root: Path) -> dict[str, float]:
    zones = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        millidegrees = _number(zone / "temp")  # a zone that is switched off cannot be read
        if millidegrees is not None:
            zones[_text(zone / "type").removesuffix("-thermal")] = millidegrees / 1e3
    return zones


def _throttled(root: Path) -> tuple[str, ...]:
    """Cooling devices that are on, fans apart: those cool and hold nothing back."""
    on = []
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        kind, state = _text(device / "type"), _number(device / "cur_state")
        if state and "fan" not in kind:
            on.append(kind)
    return tuple(on)


def _power_mode(root: Path) -> str | None:
    found = re.search(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status"))
    return found[1] if found else None


def _text(path: Path) -> str:
    """A file's content without surrounding blanks and zero bytes, empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None
