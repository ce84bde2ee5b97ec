"""What a device tells of itself while it works: power, energy, clocks, temperatures, what holds it back.

Kernel files first (`sysfs.py`): a Jetson tells all of it there, a desktop its processor's clocks and temperatures. A
card of its own is asked through NVML (package nvidia-ml-py), which answers "not supported" on a Jetson.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdaug.measure.memory import torch_with_gpu
from sdaug.measure.nvml import open_card
from sdaug.measure.sysfs import ROOT, BoardState, is_tegra, read_sysfs

PERIOD_S = 0.1

MOST_OF_THE_TIME = 0.0025
"""Of a processor's time, what looking may take: with `measure.memory` beside it, less than a hundredth."""

HOLDS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Of NVML's reasons for a clock below its highest, those by which something holds the card back."""


def read_board(root: Path = ROOT) -> BoardState:
    """This machine's state now, its first GPU's too if PyTorch uses one."""
    state = read_sysfs(root)
    card = None if is_tegra(root) else _card()
    if card is None:
        return state
    return BoardState(
        state.power_mw | card.power_mw,
        state.clocks_mhz | card.clocks_mhz,
        state.temperatures_c | card.temperatures_c,
        (*state.throttled, *card.throttled),
        card.power_mode,
    )


@dataclass
class Looks:
    """seconds: when each of `states` was read, rising; of the block that was watched, both ends included."""

    seconds: list[float] = field(default_factory=list)
    states: list[BoardState] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """JSON-able: the state before and after, and the least and the most of every reading between."""
        return {
            "before": self.states[0].report(),
            "after": self.states[-1].report(),
            "least": _extreme(self.states, min).report(),
            "most": _extreme(self.states, max).report(),
        }

    def facts(self) -> dict[str, Any]:
        """`report`, how many looks there were, joules, and joules above the power that was drawn before."""
        energies = {"energy_j": self.energy_j, "energy_above_before_j": self._energy_j(above_before=True)}
        return self.report() | {"looks": len(self.states)} | energies

    @property
    def energy_j(self) -> float | None:
        """Joules of what `total_mw` is of over the block; None where the device does not tell its power."""
        return self._energy_j(above_before=False)

    def _energy_j(self, above_before: bool) -> float | None:
        totals = [state.total_mw for state in self.states]
        known = [total for total in totals if total is not None]
        if len(known) < len(totals):
            return None
        return energy_j(self.seconds, known, known[0] if above_before else 0.0)


@contextmanager
def watch_board(
    read: Callable[[], BoardState] = read_board,
    period_s: float = PERIOD_S,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Looks]:
    """Looks at the device before the block, every `period_s` during it (less often where that would take more than
    `MOST_OF_THE_TIME` of a processor), and after it."""
    looks, over = Looks(), threading.Event()

    def look() -> None:
        looks.seconds.append(clock())
        looks.states.append(read())

    def look_on() -> None:
        pause = period_s
        while not over.wait(pause):
            began = time.thread_time()
            look()
            pause = max(period_s, (time.thread_time() - began) / MOST_OF_THE_TIME)

    look()
    thread = threading.Thread(target=look_on, name="sdaug-board", daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()
        look()


def energy_j(seconds: list[float], power_mw: list[float], idle_mw: float = 0.0) -> float:
    """Joules above idle by the trapezoidal rule. seconds: when each power was read, rising.

    Raises ValueError with fewer than two readings, or times that do not rise.

    >>> energy_j([0.0, 1.0, 2.0], [1000.0, 3000.0, 1000.0], idle_mw=500.0)
    3.0
    """
    if len(seconds) < 2 or len(seconds) != len(power_mw):
        raise ValueError(f"{len(seconds)} times, {len(power_mw)} powers; as many of each expected, two or more")
    total = 0.0
    for i in range(1, len(seconds)):
        step = seconds[i] - seconds[i - 1]
        if step <= 0:
            raise ValueError(f"readings at {seconds[i - 1]} and {seconds[i]} s; rising times expected")
        total += step * ((power_mw[i] + power_mw[i - 1]) / 2 - idle_mw)
    return total / 1e3


def _extreme(states: list[BoardState], choose: Callable[..., float]) -> BoardState:
    """Reading by reading, over the states that have it; everything that ever held the device back."""

    def of(part: str) -> dict[str, float]:
        found = [getattr(state, part) for state in states]
        names = dict.fromkeys(name for readings in found for name in readings)
        return {name: choose(readings[name] for readings in found if name in readings) for name in names}

    held = tuple(dict.fromkeys(name for state in states for name in state.throttled))
    return BoardState(of("power_mw"), of("clocks_mhz"), of("temperatures_c"), held, states[-1].power_mode)


def _card() -> BoardState | None:
    """The GPU that PyTorch uses, as NVML tells; None without one, without NVML's package, or where it knows none."""
    torch = torch_with_gpu()
    card = None if torch is None else open_card(torch)
    return None if card is None else read_card(*card)


def read_card(nvml: Any, handle: Any) -> BoardState:
    """The state of one card. nvml: the module pynvml, or what answers like it. A call that the card does not know is
    left out."""

    def told(call: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, call)(handle, *arguments)
        except nvml.NVMLError:
            return None

    power, celsius = told("nvmlDeviceGetPowerUsage"), told("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
    clocks = {
        "gpu": told("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        "gpu memory": told("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
    }
    held, level = told("nvmlDeviceGetCurrentClocksThrottleReasons"), told("nvmlDeviceGetPerformanceState")
    return BoardState(
        {} if power is None else {"GPU": float(power)},
        {name: float(clock) for name, clock in clocks.items() if clock is not None},
        {} if celsius is None else {"gpu": float(celsius)},
        tuple(name for bit, name in HOLDS.items() if held is not None and held & bit),
        None if level is None else f"P{level}",
    )
