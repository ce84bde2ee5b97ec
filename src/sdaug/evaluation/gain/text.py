"""The gain report as a table for people."""

from collections.abc import Mapping
from typing import Any


def gain_text(report: Mapping[str, Any]) -> str:
    """Arms with their error rates, what was kept of their samples, the gap closed, and the verdict."""
    lines = [
        f"{report['subjects']} people, {sum(report['probes'].values())} probes, "
        f"{report['failures_to_acquire']['probes']} more without a face; recogniser {report['recogniser']}",
        f"{'arm':14}{'FNMR at FMR 1e-2':>24}{'1e-3':>8}  {'gap closed':>22}  {'accepted':>9}  as single",
    ]
    for name, arm in report["arms"].items():
        if arm["fnmr_at_fmr_1e-2"] is None and "reason" in arm:
            lines.append(f"{name:14}  not made: {arm['reason']}")
            continue
        gap = report["gap_closed"].get(name, {"value": None, "ci95": None})
        samples = arm["samples"]
        accepted = f"{samples['accepted']}/{samples['offered']}" if samples["offered"] else ""
        lines.append(
            f"{name:14}{_rate(arm['fnmr_at_fmr_1e-2']):>8}{_interval(arm['ci95'], '.3f'):>16}"
            f"{_rate(arm['fnmr_at_fmr_1e-3']):>8}  "
            f"{'' if gap['value'] is None else format(gap['value'], '.0%'):>5}{_interval(gap['ci95'], '.0%'):>17}  "
            f"{accepted:>9}  {arm['subjects_as_single']}"
        )
    for target, reason in report["arms"]["single"]["reasons"].items():
        lines.append(f"{target}: {reason}")
    lines.append("FNMR by |yaw| of the probe, degrees")
    bins = {name: n for name, n in report["probes"].items() if n}
    lines.append(f"{'':14}" + "".join(f"{f'{name} ({n})':>18}" for name, n in bins.items()))
    for name, arm in report["arms"].items():
        if "by_yaw" in arm:
            lines.append(f"{name:14}" + "".join(f"{_rate(arm['by_yaw'][key]['fnmr']):>18}" for key in bins))
    lines.append(f"checks: {', '.join(f'{name} {_answer(held)}' for name, held in report['checks'].items())}")
    lines.append(report["verdict"])
    return "\n".join(lines)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(ends: list[float] | None, form: str) -> str:
    return "" if ends is None else f"[{ends[0]:{form}}, {ends[1]:{form}}]"


def _answer(held: bool | None) -> str:
    return "not evaluated" if held is None else "yes" if held else "NO"
