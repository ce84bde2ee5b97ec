"""One line of NVIDIA's tegrastats, as its user guide describes it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TegraLine:
    """ram_mb, ram_total_mb: used and there. gpu_percent: GR3D_FREQ. temperatures_c: by sensor. power_mw: by rail, now;
    average_mw: since tegrastats started. None, or empty, where the line does not say."""

    ram_mb: int | None
    ram_total_mb: int | None
    gpu_percent: int | None
    temperatures_c: dict[str, float]
    power_mw: dict[str, int]
    average_mw: dict[str, int]


def read_line(line: str) -> TegraLine:
    """Raises ValueError for a line without any of it.

    >>> read_line("RAM 4722/62840MB (lfb 8x4MB) GR3D_FREQ 97% gpu@51.2C VDD_GPU_SOC 18231mW/17012mW").power_mw
    {'VDD_GPU_SOC': 18231}
    """
    ram = re.search(r"\bRAM (\d+)/(\d+)MB", line)
    gpu = re.search(r"\bGR3D_FREQ (\d+)%", line)
    # A sensor that is switched off reads -256.
    temperatures = {name: float(value) for name, value in re.findall(r"(\w+)@(-?\d+(?:\.\d+)?)C\b", line)}
    rails = re.findall(r"\b([A-Z][A-Z0-9_]+) (\d+)(?:mW)?/(\d+)(?:mW)?(?= |$)", line)
    rails = [(rail, now, mean) for rail, now, mean in rails if rail not in ("RAM", "SWAP", "IRAM")]
    if not (ram or gpu or temperatures or rails):
        raise ValueError(f"{line[:80]!r} is no line of tegrastats; RAM, GR3D_FREQ, sensors or rails expected")
    return TegraLine(
        ram_mb=int(ram[1]) if ram else None,
        ram_total_mb=int(ram[2]) if ram else None,
        gpu_percent=int(gpu[1]) if gpu else None,
        temperatures_c={name: value for name, value in temperatures.items() if value > -200},
        power_mw={rail: int(now) for rail, now, _ in rails},
        average_mw={rail: int(mean) for rail, _, mean in rails},
    )
