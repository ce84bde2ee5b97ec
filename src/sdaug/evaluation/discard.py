"""Error versus discard: what is gained by refusing the images of least quality (ISO/IEC 29794-1, Grother and Tabassi
2007)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdaug.compare import raw_outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Curve:
    """discarded: (k,) float 0..1, the share of images refused. errors: (k,) float 0..1, the share of errors among the
    rest. thresholds: (k,) the quality that the rest has at least."""

    discarded: np.ndarray
    errors: np.ndarray
    thresholds: np.ndarray

    @property
    def area(self) -> float:
        """Under the curve up to discarding 30 %, over that width: the mean error there. Lower is better."""
        within = np.linspace(0, 0.3, 301)
        after = np.searchsorted(self.discarded, within, side="right") - 1
        return float(self.errors[after].mean())


def error_versus_discard(quality: np.ndarray, wrong: np.ndarray) -> Curve:
    """Images of one quality are refused together, the lowest first; as long as one image is left.

    quality: (N,) float, higher is better. wrong: (N,) bool, whether the image is an error. Raises ValueError on none,
    on lengths that differ and on quality that is not finite.

    >>> curve = error_versus_discard(np.array([0.1, 0.2, 0.2, 0.9]), np.array([True, False, True, False]))
    >>> curve.discarded.tolist(), curve.errors.tolist()
    ([0.0, 0.25, 0.75], [0.5, 0.3333333333333333, 0.0])
    """
    quality, wrong = np.asarray(quality, float), np.asarray(wrong, bool)
    if quality.shape != wrong.shape or quality.ndim != 1 or not len(quality):
        raise ValueError(f"quality {quality.shape} and errors {wrong.shape}; expected two of one length, at least 1")
    if not np.isfinite(quality).all():
        raise ValueError("a quality is not finite; leave out the images that have none")
    order = np.argsort(quality, kind="stable")
    ordered = quality[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-np.inf))
    left = len(quality) - first
    errors = np.cumsum(wrong[order][::-1])[::-1][first]
    return Curve(first / len(quality), errors / left, ordered[first])


def qualities(
    results: Sequence[Mapping[str, Any]], recogniser: str, threshold: float
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of a sweep's results, by quality measure: the scalar of every raw image that has one, and whether it is an error,
    its similarity to the source being below `threshold`."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for result in results:
        for angle in result["record"]["angles"] if result["status"] == "finished" else ():
            raw = raw_outcome(angle, result["settings"]["backend"])
            if raw is None or recogniser not in raw["similarity"]:
                continue
            for name, score in raw["quality"].items():
                found.setdefault(name, []).append((score["scalar"], raw["similarity"][recogniser] < threshold))
    return {name: tuple(np.array(column) for column in zip(*rows, strict=True)) for name, rows in found.items()}  # type: ignore[misc]


def asked(curves: Mapping[str, Curve], refuse: float) -> dict[str, dict[str, float]]:
    """By measure, the fewest errors first: the quality to ask for where at most the share `refuse` of images may be
    refused, how many that refuses, and the errors before and after."""
    rows = {}
    for name, curve in curves.items():
        last = int(np.flatnonzero(curve.discarded <= refuse)[-1])
        rows[name] = {
            "ask for at least": float(curve.thresholds[last]),
            "refused": float(curve.discarded[last]),
            "errors before": float(curve.errors[0]),
            "errors after": float(curve.errors[last]),
        }
    return dict(sorted(rows.items(), key=lambda item: item[1]["errors after"]))


def chart(curves: Mapping[str, Curve]) -> "Figure":
    """A line a measure; in place of it words, where there is no error to be avoided."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="share of images refused, lowest quality first", ylabel="share of errors among the rest")
    ordered = sorted(curves.items(), key=lambda item: item[1].area)
    if not any(curve.errors.any() for curve in curves.values()):
        axes.text(0.5, 0.5, "no error among these images:\nthey cannot tell where the gate should stand", ha="center")
        return figure
    for number, (name, curve) in enumerate(ordered):
        style = ("-", "--", ":")[number // 10 % 3]  # matplotlib has ten colours
        shares, errors = np.append(curve.discarded, 1.0), np.append(curve.errors, curve.errors[-1])
        axes.step(shares, errors, style, where="post", label=f"{name} ({curve.area:.3f})")
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.legend(title="measure (mean error up to 30 %)", loc="outside right upper", fontsize=8)
    return figure
