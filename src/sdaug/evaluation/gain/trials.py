"""Comparison trials: every template against every probe, and the error rates read from them."""

from dataclasses import dataclass

import numpy as np

from sdaug.evaluation.metrics import fnmr, fnmr_at_fmr, threshold_at_fmr

MIN_FALSE_MATCHES = 10
"""A rate below which fewer false matches than this are expected is not reported."""


@dataclass(frozen=True)
class Trials:
    """Scores of one template a subject against all probes.

    scores: (S, P) float64, template s against probe p; higher = more alike. owner: (P,) int, the subject of each probe.
    """

    scores: np.ndarray
    owner: np.ndarray

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.owner.shape != (self.scores.shape[1],):
            raise ValueError(f"scores {self.scores.shape} and owner {self.owner.shape} do not belong together")

    @property
    def is_mated(self) -> np.ndarray:
        """(S, P) bool."""
        return self.owner == np.arange(len(self.scores))[:, None]

    @property
    def mated(self) -> np.ndarray:
        """(M,) scores, ordered by subject, then by probe."""
        return self.scores[self.is_mated]

    @property
    def non_mated(self) -> np.ndarray:
        """(N,) scores, ordered by template's subject, then by probe."""
        return self.scores[~self.is_mated]

    def without(self, subject: int) -> "Trials":
        """The trials in which `subject` has no part: neither its template nor its probes."""
        kept = self.owner != subject
        owner = self.owner[kept]
        return Trials(np.delete(self.scores[:, kept], subject, axis=0), owner - (owner > subject))

    def threshold(self, target_fmr: float) -> float:
        """The threshold at which these very trials have the FMR."""
        return threshold_at_fmr(self.non_mated, target_fmr)

    def fnmr_at_fmr(self, target_fmr: float) -> float:
        return fnmr_at_fmr(self.mated, self.non_mated, target_fmr)

    def fnmr_of(self, probes: np.ndarray, target_fmr: float) -> float | None:
        """FNMR over the chosen probes (P,) bool at the threshold of all trials; None if none is chosen."""
        chosen = self.scores[self.is_mated & probes]
        return fnmr(chosen, self.threshold(target_fmr)) if chosen.size else None


def too_few(comparisons: int, target_fmr: float) -> str | None:
    """Why FNMR at `target_fmr` cannot be told from this many non-mated comparisons; None if it can.

    >>> too_few(1440, 1e-2)
    >>> too_few(1440, 1e-3)
    '1.4 false matches expected among 1440 non-mated comparisons at FMR 0.001; at least 10 are needed'
    """
    expected = comparisons * target_fmr
    if expected >= MIN_FALSE_MATCHES:
        return None
    return (
        f"{expected:.1f} false matches expected among {comparisons} non-mated comparisons at FMR {target_fmr:g}; "
        f"at least {MIN_FALSE_MATCHES} are needed"
    )
