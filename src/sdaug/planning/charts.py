"""Charts of a plan, as matplotlib figures. All that they show is predicted."""

from typing import TYPE_CHECKING

from sdaug.planning.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FITS, _NOT = "#0b5fa5", "#b3470b"
_STAGES = {"encode": "#7a3b9e", "hint": "#8a6d00", "controlnet": "#2f7d32", "unet": "#0b5fa5", "decode": "#b3470b"}


def time_against_memory(report: Report) -> "Figure":
    """Seconds for five angles, with its interval, against counted memory; filled where no other is faster and smaller,
    a star on the recommended one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.0), layout="constrained")
    axes = figure.subplots()
    for one in report.planned:
        if one.five is None:
            continue
        took, held, colour = one.five.seconds, one.allocated_gb or 0.0, _FITS if one.fits else _NOT
        axes.errorbar(
            held, took.predicted, [[took.predicted - took.low], [took.high - took.predicted]],
            color=colour, alpha=0.5, capsize=3,
        )  # fmt: skip
        axes.scatter(
            held, took.predicted, s=70, edgecolors=colour, facecolors=colour if one.on_front else "none",
            marker="*" if one is report.recommended else "o", zorder=3,
        )  # fmt: skip
    axes.axhline(10, color="0.6", linestyle=":", label="the mission's 10 s for five")
    axes.axvline(report.budget_gb, color="0.6", linestyle="--", label=f"budget, {report.budget_gb:g} GB")
    axes.set_yscale("log")
    axes.set_xlabel("GB of tensors at the peak, counted")
    axes.set_ylabel("seconds for five angles, predicted")
    axes.set_title(f"{report.machine.title}: predictions", fontsize=10)
    axes.grid(alpha=0.25, which="both")
    axes.legend(fontsize=8)
    _label(
        axes,
        {one.asked.name: (one.allocated_gb or 0.0, one.five.seconds.predicted) for one in report.planned if one.five},
    )
    return figure


def _label(axes: "Axes", points: dict[str, tuple[float, float]]) -> None:
    """A name beside each point, one after the other where points fall together, none over another: one that would be
    is moved up, with a line to its point."""
    axes.autoscale_view()
    unit = 72 / axes.figure.dpi
    heights: list[float] = []
    together: dict[tuple[int, int], list[str]] = {}
    for name, point in points.items():
        x, y = axes.transData.transform(point) * unit
        together.setdefault((round(x / 4), round(y / 4)), []).append(name)
    for (_, place), names in sorted(together.items(), key=lambda item: item[0][1]):
        height = above = place * 4.0
        while any(abs(above - other) < 10 for other in heights):
            above += 1
        heights.append(above)
        line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6} if above > height + 3 else None
        axes.annotate(
            ", ".join(names), points[names[0]], (9, above - height), textcoords="offset points", size=8, va="center",
            arrowprops=line,
        )  # fmt: skip


def stages(report: Report) -> "Figure":
    """Where the seconds of one image go, and its floor at the datasheet's peak as a mark."""
    from matplotlib.figure import Figure

    shown = [one for one in report.planned if one.one is not None]
    figure = Figure(figsize=(8.5, 0.4 * len(shown) + 1.4), layout="constrained")
    axes = figure.subplots()
    names = [one.asked.name for one in shown]
    left = [0.0] * len(shown)
    for stage, colour in _STAGES.items():
        spent = [one.one.stages[stage].predicted if one.one and stage in one.one.stages else 0.0 for one in shown]
        axes.barh(names, spent, left=left, color=colour, label=stage)
        left = [sum(pair) for pair in zip(left, spent, strict=True)]
    axes.scatter(
        [one.one.floor_s if one.one else 0 for one in shown], names, marker="|", s=180, color="k", label="floor"
    )
    axes.invert_yaxis()
    axes.set_xlabel("seconds an image, predicted")
    axes.legend(fontsize=8, ncols=6, loc="lower right")
    axes.grid(alpha=0.25, axis="x")
    return figure


def published_figures() -> "Figure":
    """What others measured against what is predicted of it with that figure left out."""
    from matplotlib.figure import Figure

    from sdaug.costmodel.published import compare

    rows = compare()
    figure = Figure(figsize=(6.5, 6.0), layout="constrained")
    axes = figure.subplots()
    kinds = {
        "fitted to the others of its device": (_FITS, [row for row in rows if row.fitted_to > 0]),
        "nothing fitted (Orin)": (_NOT, [row for row in rows if row.fitted_to == 0 and not row.published.seen]),
        "known to the device's file (Orin)": ("0.5", [row for row in rows if row.published.seen]),
    }
    for label, (colour, some) in kinds.items():
        measured = [row.measured_s for row in some]
        predicted = [row.predicted_s for row in some]
        ends = [[row.predicted_s - row.low_s for row in some], [row.high_s - row.predicted_s for row in some]]
        axes.errorbar(measured, predicted, ends, fmt="o", color=colour, alpha=0.7, capsize=2, label=label)
    axes.plot([5e-3, 20], [5e-3, 20], color="0.5", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="seconds that others measured", ylabel="seconds predicted")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return figure
