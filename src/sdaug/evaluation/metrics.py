"""Biometric error rates of scores (ISO/IEC 19795-1): higher = more alike, match = score >= threshold."""

import numpy as np


def _checked(scores: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(scores, np.float64).ravel()
    if values.size == 0:
        raise ValueError(f"no {name} scores given; a rate of nothing is not a number")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} scores hold values that are not finite")
    return values


def fmr(non_mated: np.ndarray, threshold: float) -> float:
    """False match rate: share of non-mated scores (N,) at or above the threshold.

    >>> fmr(np.array([0.1, 0.2, 0.9]), 0.2)
    0.6666666666666666
    """
    return float((_checked(non_mated, "non-mated") >= threshold).mean())


def fnmr(mated: np.ndarray, threshold: float) -> float:
    """False non-match rate: share of mated scores (N,) below the threshold.

    >>> fnmr(np.array([0.1, 0.2, 0.9]), 0.2)
    0.3333333333333333
    """
    return float((_checked(mated, "mated") < threshold).mean())


def threshold_at_fmr(non_mated: np.ndarray, target: float) -> float:
    """The lowest threshold whose false match rate on `non_mated` (N,) is at most `target`, 0..1.

    >>> threshold_at_fmr(np.array([0.1, 0.2, 0.3, 0.4]), 0.25)
    0.4
    """
    if not 0 <= target <= 1:
        raise ValueError(f"target FMR is {target}; expected 0 to 1")
    values = np.unique(_checked(non_mated, "non-mated"))
    n = np.size(non_mated)
    rates = (n - np.searchsorted(np.sort(np.ravel(non_mated)), values, side="left")) / n
    passing = np.flatnonzero(rates <= target)
    return float(values[passing[0]]) if passing.size else float(np.nextafter(values[-1], np.inf))


def fnmr_at_fmr(mated: np.ndarray, non_mated: np.ndarray, target: float) -> float:
    """FNMR at the threshold where the FMR is `target`."""
    return fnmr(mated, threshold_at_fmr(non_mated, target))


def det_curve(mated: np.ndarray, non_mated: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """FMR, FNMR and threshold (K,) at every distinct score, thresholds rising."""
    thresholds = np.unique(np.concatenate([_checked(mated, "mated"), _checked(non_mated, "non-mated")]))
    own, other = np.sort(np.ravel(mated)), np.sort(np.ravel(non_mated))
    false_match = 1 - np.searchsorted(other, thresholds, side="left") / other.size
    false_non_match = np.searchsorted(own, thresholds, side="left") / own.size
    return false_match, false_non_match, thresholds


def weighted_fnmr_at_fmr(
    mated: np.ndarray, mated_weights: np.ndarray, non_mated: np.ndarray, non_mated_weights: np.ndarray, target: float
) -> np.ndarray:
    """FNMR where the FMR is `target`, once per row of weights: what a bootstrap asks a thousand times.

    mated: (M,), non_mated: (N,) scores. mated_weights: (B, M), non_mated_weights: (B, N), >= 0, how often each score
    counts. Returns (B,) float64 in 0..1, equal to `fnmr_at_fmr` of the repeated scores; NaN where a row has no mated or
    no non-mated weight at all.
    """
    own, other = _checked(mated, "mated"), _checked(non_mated, "non-mated")
    if not 0 <= target <= 1:
        raise ValueError(f"target FMR is {target}; expected 0 to 1")
    own_order, other_order = np.argsort(own), np.argsort(other)
    own, other = own[own_order], other[other_order]
    below = _cumulated(np.asarray(non_mated_weights, np.float64)[:, other_order])
    values, first = np.unique(other, return_index=True)
    total = below[:, -1:]
    present = np.diff(below[:, np.append(first, other.size)], axis=1) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        passing = present & ((total - below[:, first]) / total <= target)
    highest = values[values.size - 1 - present[:, ::-1].argmax(1)]
    thresholds = np.where(passing.any(1), values[passing.argmax(1)], np.nextafter(highest, np.inf))
    own_below = _cumulated(np.asarray(mated_weights, np.float64)[:, own_order])
    rows, reached = np.arange(len(own_below)), np.searchsorted(own, thresholds, side="left")
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = own_below[rows, reached] / own_below[:, -1]
    return np.where(total[:, 0] > 0, rates, np.nan)


def _cumulated(weights: np.ndarray) -> np.ndarray:
    """Sum of the first 0..K weights of each row: (B, K) -> (B, K + 1)."""
    return np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights, axis=1)], axis=1)
