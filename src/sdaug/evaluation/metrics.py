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
    rates = 1 - np.searchsorted(np.sort(non_mated), values, side="left") / np.size(non_mated)
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
