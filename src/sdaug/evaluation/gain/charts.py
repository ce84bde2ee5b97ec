"""Pictures of the gain evaluation, as matplotlib figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdaug.evaluation.gain.chosen import TARGET_FMR, ArmTrials
from sdaug.evaluation.metrics import det_curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "single": "#455a64", "flip": "#8a6d00", "jitter": "#b0a160", "warp": "#0b5fa5", "diffusion": "#7a3b9e",
    "wrong_person": "#b3470b", "real_photos": "#2f7d32", "warp_max": "#5fa8dc", "warp_ungated": "#9bbfd9",
}  # fmt: skip
"""One colour an arm, in every picture."""

_LEFT = -0.6
"""Where the axis of the gap closed begins; what is lower is an arrow with its figure."""

Arms = Mapping[str, ArmTrials | str]


def _made(arms: Arms) -> dict[str, ArmTrials]:
    return {name: arm for name, arm in arms.items() if isinstance(arm, ArmTrials)}


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def det_curves(arms: Arms) -> "Figure":
    """FNMR against FMR of each arm, both logarithmic; the dashed line is where arms are compared."""
    figure = _figure(7.0, 5.0)
    axes = figure.subplots()
    for name, arm in _made(arms).items():
        fmr, fnmr, _ = det_curve(arm.trials.mated, arm.trials.non_mated)
        axes.step(fmr, fnmr, where="post", color=COLOURS[name], label=name, linewidth=1.6)
    smallest = 1 / min(arm.trials.non_mated.size for arm in _made(arms).values())
    axes.set(xscale="log", yscale="log", xlim=(smallest, 0.5), ylim=(3e-3, 1.0))
    axes.set(xlabel="false match rate", ylabel="false non-match rate")
    axes.axvline(TARGET_FMR, color="0.4", linewidth=0.9, linestyle="--")
    axes.grid(alpha=0.25, which="both")
    axes.legend(fontsize=8, loc="lower left")
    return figure


def distributions(arms: Arms, names: tuple[str, ...] = ("single", "warp", "warp_max", "real_photos")) -> "Figure":
    """Mated (filled) and non-mated (outlined) scores of some arms, with each arm's own threshold at FMR 1e-2."""
    shown = {name: arm for name, arm in _made(arms).items() if name in names}
    figure = _figure(7.0, 1.5 * len(shown) + 0.6)
    rows = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    scores = np.concatenate([arm.trials.scores.ravel() for arm in shown.values()])
    edges = np.linspace(scores.min(), scores.max(), 50)
    for axes, (name, arm) in zip(rows, shown.items(), strict=True):
        axes.hist(arm.trials.non_mated, edges, density=True, histtype="step", color="0.35", linewidth=1.3)
        axes.hist(arm.trials.mated, edges, density=True, color=COLOURS[name], alpha=0.6)
        axes.axvline(arm.trials.threshold(TARGET_FMR), color="0.2", linewidth=0.9, linestyle="--")
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.set_yticks([])
    rows[-1].set_xlabel("comparison score (filled: mated, outline: non-mated, dashed: threshold at FMR 1e-2)")
    return figure


def fnmr_by_yaw(report: Mapping[str, Any]) -> "Figure":
    """FNMR of each arm by |yaw| of the probe, at the arm's own threshold."""
    bins = {name: n for name, n in report["probes"].items() if n}
    arms = {name: arm for name, arm in report["arms"].items() if "by_yaw" in arm and not name.startswith("warp_")}
    figure = _figure(8.0, 3.8)
    axes = figure.subplots()
    width = 0.8 / len(arms)
    for place, (name, arm) in enumerate(arms.items()):
        heights = [arm["by_yaw"][key]["fnmr"] for key in bins]
        axes.bar(np.arange(len(bins)) + (place + 0.5) * width - 0.4, heights, width, color=COLOURS[name], label=name)
    axes.set_xticks(np.arange(len(bins)), [f"{name}\nn {n}" for name, n in bins.items()])
    axes.set(xlabel="|yaw| of the probe, degrees", ylabel="FNMR at FMR 1e-2", ylim=(0, 1))
    axes.grid(alpha=0.25, axis="y")
    figure.legend(fontsize=8, ncols=len(arms), loc="outside upper center")
    return figure


def gaps(report: Mapping[str, Any]) -> "Figure":
    """The share of the gap between one photo and three real ones that each arm closes, with its 95 % interval."""
    known = {name: gap for name, gap in report["gap_closed"].items() if gap["value"] is not None}
    figure = _figure(7.0, 0.45 * len(known) + 1.2)
    axes = figure.subplots()
    for place, (name, gap) in enumerate(reversed(known.items())):
        if gap["value"] < _LEFT:
            axes.plot(_LEFT, place, "<", color=COLOURS[name], markersize=9)
            axes.annotate(f"{gap['value']:.0%}", (_LEFT + 0.06, place), va="center", fontsize=8)
            continue
        if gap["ci95"] is not None:
            axes.plot(gap["ci95"], [place, place], color=COLOURS[name], linewidth=2.5, solid_capstyle="butt")
        axes.plot(gap["value"], place, "o", color=COLOURS[name], markersize=8)
    axes.set_yticks(range(len(known)), list(reversed(known)))
    axes.axvline(0, color="0.3", linewidth=0.9)
    axes.axvline(1, color=COLOURS["real_photos"], linewidth=0.9, linestyle="--")
    axes.set(xlabel="share of the gap closed (0: one photo, dashed: three real photos)", xlim=(_LEFT - 0.05, 1.1))
    axes.grid(alpha=0.25, axis="x")
    return figure
