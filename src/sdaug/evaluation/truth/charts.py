"""The figures of `notebooks/truth.ipynb`, as matplotlib figures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdaug.evaluation.truth.page import TruthPage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = {
    "generated": ("generated", "#0b5fa5"), "input": ("the frontal itself", "#b3470b"),
    "mirrored": ("the frontal mirrored", "#7a3b9e"), "in_plane": ("the frontal rotated in its plane", "#2f7d32"),
}  # fmt: skip


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def view_grid(page: TruthPage) -> "Figure":
    """Every view: yaw from left to right, pitch from top (looks up) down; the true view above the generated one."""
    yaws = sorted({pose.yaw_deg for pose in page.generated})
    pitches = sorted({pose.pitch_deg for pose in page.generated})
    high = 2 if page.truth else 1
    figure = _figure(1.25 * len(yaws), 1.35 * high * len(pitches))
    axes = figure.subplots(high * len(pitches), len(yaws), squeeze=False)
    for each in axes.ravel():
        each.set_axis_off()
    for pose, image in page.generated.items():
        row, column = high * pitches.index(pose.pitch_deg), yaws.index(pose.yaw_deg)
        if pose in page.truth:
            _show(axes[row, column], page.truth[pose], f"true {pose.yaw_deg:+.0f} {pose.pitch_deg:+.0f}")
        _show(axes[row + high - 1, column], image, f"made {pose.yaw_deg:+.0f} {pose.pitch_deg:+.0f}")
    return figure


def _show(axes: "Axes", image: np.ndarray, title: str) -> None:
    axes.imshow(image)
    axes.set_title(title, fontsize=7, pad=2)


def similarity_by_angle(rows: Sequence[Mapping[str, Any]], recogniser: str) -> "Figure":
    """Mean similarity to the true view against yaw and against pitch, over all of the other axis, and baselines."""
    figure = _figure(10, 4)
    for axes, axis in zip(figure.subplots(1, 2, sharey=True), ("yaw_deg", "pitch_deg"), strict=True):
        angles = sorted({row[axis] for row in rows})
        for name, (label, colour) in LINES.items():
            key = f"{name}_to_true.{recogniser}"
            axes.plot(
                angles,
                [np.mean([r[key] for r in rows if r[axis] == a]) for a in angles],
                "o-",
                color=colour,
                label=label,
            )
        axes.set_xlabel(axis.replace("_deg", ", degrees"))
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel(f"similarity to the true view ({recogniser})")
    figure.axes[0].legend(fontsize=8)
    return figure


def distributions(rows: Sequence[Mapping[str, Any]], recogniser: str) -> "Figure":
    """How similarities are spread over the views: to the true view, and to the input, made and true."""
    figure = _figure(10, 3.4)
    pairs = (
        ("to the true view", {"generated": "generated_to_true", "the frontal itself": "input_to_true"}),
        ("to the input", {"generated": "generated_to_input", "the true view": "true_to_input"}),
    )
    bins = np.linspace(-0.1, 1.0, 23).tolist()
    for axes, (title, keys) in zip(figure.subplots(1, 2, sharey=True), pairs, strict=True):
        for (label, key), colour in zip(keys.items(), ("#0b5fa5", "#b3470b"), strict=True):
            axes.hist([row[f"{key}.{recogniser}"] for row in rows], bins=bins, color=colour, alpha=0.55, label=label)
        axes.set_xlabel(f"similarity {title} ({recogniser})")
        axes.legend(fontsize=8)
    figure.axes[0].set_ylabel("views")
    return figure


def pose_readings(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Measured against requested angle by both estimators; the diagonal is right, an unread view is absent."""
    figure = _figure(10, 4.4)
    for axes, axis in zip(figure.subplots(1, 2), ("yaw_deg", "pitch_deg"), strict=True):
        for key, label, marker, colour in (
            ("measured", "landmarks", "o", "#0b5fa5"),
            ("measured_second", "second, independent", "x", "#b3470b"),
        ):
            known = [row for row in rows if row[key] is not None]
            axes.scatter([r[axis] for r in known], [r[key][axis] for r in known], s=22, marker=marker, color=colour,
                         label=f"{label} ({len(known)} of {len(rows)})")  # fmt: skip
        ends = [min(row[axis] for row in rows) - 5, max(row[axis] for row in rows) + 5]
        axes.plot(ends, ends, color="0.6", linewidth=0.8)
        axes.set_xlabel(f"requested {axis.replace('_deg', ', degrees')}")
        axes.set_ylabel("measured")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    return figure
