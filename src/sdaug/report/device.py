"""On what the cells ran, what its meters told, and what everything was made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdaug.measure.environment import commit, version
from sdaug.measure.memory import METERS
from sdaug.results import Sweep
from sdaug.shown import Shown

Results = Sequence[Mapping[str, Any]]

NOT_TOLD = "not told by this device"

PEAKS = {
    "resident_peak_sampled": "the most of this process's pages in RAM (RSS) that was seen during the first call",
    "resident_peak": METERS["resident_peak"],
    "cuda_allocated_peak": METERS["cuda_allocated_peak"],
    "cuda_reserved_peak": METERS["cuda_reserved_peak"],
    "gpu_used_peak": METERS["gpu_used"],
    "gpu_process_peak": METERS["gpu_process"],
    "nvmap_process_peak": METERS["nvmap_process"],
    "nvmap_peak": METERS["nvmap"],
    "system_taken_peak": "how far the machine's free memory fell during a call, whoever took it",
}

READINGS = {
    "clocks_mhz": ("clock", "MHz"),
    "temperatures_c": ("temperature", "°C"),
    "power_mw": ("power", "mW"),
    "total_mw": ("power of module or card", "mW"),
    "throttled": ("throttling", ""),
    "power_mode": ("power mode", ""),
}
"""What a look at the device may tell (`measure/sysfs.py`), with words and unit."""


def _finished(results: Results) -> list[Mapping[str, Any]]:
    return [result for result in results if result["status"] == "finished"]


def machines(results: Results) -> list[dict[str, Any]]:
    """Every different machine with how many cells it ran: {cells, facts: [(name, value)]}."""
    found: dict[tuple[tuple[str, str], ...], int] = {}
    for result in _finished(results):
        told = result["record"]["environment"]
        memory = told.get("memory_bytes")
        shared = ", shared with the GPU" if told.get("unified_memory") else ""
        facts = (
            *([("device", result["device"])] if "device" in result else []),
            ("processor", f"{told['processor']}, {told['cores']} cores"),
            ("GPU", told["gpu"] or "none"),
            ("memory", NOT_TOLD if memory is None else f"{memory / 1e9:.1f} GB{shared}"),
            ("system", f"{told.get('platform') or NOT_TOLD}, Python {told['python']}"),
        )  # fmt: skip
        found[facts] = found.get(facts, 0) + 1
    return [{"cells": cells, "facts": facts} for facts, cells in found.items()]


def memory_meters(results: Results) -> list[tuple[str, str, float | None]]:
    """(meter, what it is, bytes): of every meter the highest of any cell, None where this device does not tell."""
    memories = [result["record"]["memory"] for result in _finished(results)]
    rows = []
    for name, what in PEAKS.items() if memories else ():
        known = [memory[name] for memory in memories if memory.get(name) is not None]
        rows.append((name.replace("_", " "), what, max(known, default=None)))
    return rows


@dataclass(frozen=True)
class Telemetry:
    """told: (what, its range over all looks). not_told: what the device does not tell. recorded: whether cells looked.

    A cell's `telemetry` holds looks by when they were taken, each as `measure.sysfs.BoardState.report` gives it, or
    None where the device tells nothing.
    """

    recorded: bool
    told: tuple[tuple[str, str], ...]
    not_told: tuple[str, ...]


def telemetry(results: Results) -> Telemetry:
    """What the finished cells recorded of the device's state."""
    found = [result["telemetry"] for result in _finished(results) if "telemetry" in result]
    # A device that tells nothing else does not tell either that nothing held it back.
    looks = [look for of in found for look in (of or {}).values() if look is not None and any(look.values())]
    spent = [joules for result in _finished(results) if (joules := result.get("energy_j")) is not None]
    told: list[tuple[str, str]] = []
    not_told = []
    for name, (words, unit) in READINGS.items():
        values = [look[name] for look in looks if look.get(name) not in (None, {})]
        if not values:
            not_told.append(words)
        elif name == "throttled":
            told.append((words, ", ".join(sorted({held for look in values for held in look})) or "nothing"))
        elif isinstance(values[0], Mapping):
            parts = dict.fromkeys(part for look in values for part in look)
            told += [
                (f"{words}, {part}", _range([look[part] for look in values if part in look], unit)) for part in parts
            ]
        else:
            told.append((words, _range(values, unit)))
    if spent:
        told.append(("energy of module or card, a cell's calls", _range(spent, "J")))
    return Telemetry(bool(found), tuple(told), tuple(not_told))


def _range(values: Sequence[Any], unit: str) -> str:
    """The least and the highest of what was read."""
    if not all(isinstance(value, (int, float)) for value in values):
        return ", ".join(dict.fromkeys(str(value) for value in values))
    low, high = min(values), max(values)
    return f"{low:.0f} {unit}" if round(low) == round(high) else f"{low:.0f} to {high:.0f} {unit}"


def origins(sweep: Sweep, names: Shown) -> dict[str, Any]:
    """What the sweep was made of: photos, face pack, weights, packages, seeds; which code wrote the page."""
    finished = _finished(sweep.results)
    photos = {names.person(result["person"]): result["record"]["source"] for result in finished}
    weights = {
        f"{model['model_id']}: {part}": digest
        for result in finished
        for model in [result["record"]["generator"].get("model") or {}]
        for part, digest in (model.get("sha256") or {}).items()
    }
    return {
        "photos": photos,
        "weights": weights,
        "pack": finished[0]["record"]["pack"],
        "packages": finished[0]["record"]["environment"]["packages"],
        "code": sorted({result["code_version"] for result in finished}),
        "seeds": sorted({result["seed"] for result in finished}),
        "random": any((result["record"]["generator"].get("model") or {}).get("random") for result in finished),
        "page": {"version": version("sdaug"), "commit": commit()},
    }
