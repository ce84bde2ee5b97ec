"""Charts of a sweep, as matplotlib figures."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sdaug.results import Sweep

_COLOURS = ("#0b5fa5", "#b3470b", "#2f7d32", "#7a3b9e", "#8a6d00", "#00796b", "#ad1457", "#455a64")


WIDE = 20
"""Where one value is so many times another, all but it would lie on one spot: the axis is logarithmic."""


def latency_against_similarity(sweep: "Sweep") -> "Figure":
    """Seconds an angle against mean raw similarity; a colour a load-time setting, filled where all was accepted, ringed
    where no other setting is better in time, memory and similarity at once."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    axes = figure.subplots()
    column = f"raw.similarity.{sweep.recogniser}"
    front = sweep.front
    groups = list(dict.fromkeys(sweep.load_name(key) for key in sweep.finished_keys))
    for key in sweep.finished_keys:
        row = sweep.table.loc[key]
        name = sweep.load_name(key)
        colour = _COLOURS[groups.index(name) % len(_COLOURS)]
        passed = row["raw.accepted"] == row["angles"]
        if key in front:
            axes.scatter(row["latency.per_angle_p50_s"], row[column], s=210, facecolors="none", edgecolors="0.35")
        axes.scatter(
            row["latency.per_angle_p50_s"], row[column], s=70, edgecolors=colour, linewidths=1.8,
            facecolors=colour if passed else "none", marker="*" if key == sweep.choice.key else "o",
        )  # fmt: skip
    for index, name in enumerate(groups):
        axes.scatter([], [], s=60, color=_COLOURS[index % len(_COLOURS)], label=name)
    times = sweep.table["latency.per_angle_p50_s"].astype(float).dropna()
    if len(times) and 0 < times.min() < times.max() / WIDE:
        axes.set_xscale("log")
    axes.set_xlabel("seconds an angle, median of the repeated calls")
    axes.set_ylabel(f"raw similarity to the source ({sweep.recogniser})")
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.grid(alpha=0.25)
    title = "loaded as (filled: every angle accepted; ringed: on the Pareto front; star: chosen)"
    figure.legend(title=title, loc="outside lower center", ncols=2, fontsize=8)
    return figure
