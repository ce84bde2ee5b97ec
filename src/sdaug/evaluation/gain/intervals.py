"""How sure: resampling subjects, because photos of one person are not independent of each other."""

from dataclasses import dataclass

import numpy as np

from sdaug.evaluation.gain.trials import Trials
from sdaug.evaluation.metrics import weighted_fnmr_at_fmr

POWER_FACTOR = 1.960 + 0.842
"""Standard errors that a true effect needs to be found with 80 % power by a two-sided test at 5 %."""

DEFINED = 0.975
"""An interval of a ratio is given only if at least this share of the resamples has a denominator above 0."""


@dataclass(frozen=True)
class Resampling:
    """Subjects drawn with replacement, the same draws for every arm, so that differences are paired.

    counts: (B, S) int, how often each subject was drawn.
    """

    counts: np.ndarray

    def fnmr_at_fmr(self, trials: Trials, target_fmr: float) -> np.ndarray:
        """(B,) FNMR of each draw, its threshold set anew at equal FMR; NaN where a draw has a single subject.

        A comparison counts as often as its template's subject was drawn, times, if non-mated, its probe's subject.
        A subject drawn twice is not compared with itself as if it were two people.
        """
        template, probe = np.broadcast_arrays(np.arange(len(trials.scores))[:, None], trials.owner)
        own, other = trials.is_mated, ~trials.is_mated
        return weighted_fnmr_at_fmr(
            trials.mated,
            self.counts[:, template[own]],
            trials.non_mated,
            self.counts[:, template[other]] * self.counts[:, probe[other]],
            target_fmr,
        )


def resample(subjects: int, replicates: int = 2000, seed: int = 0) -> Resampling:
    """`replicates` draws of `subjects` subjects."""
    if subjects < 2:
        raise ValueError(f"{subjects} subjects cannot be resampled; expected at least 2")
    rng = np.random.default_rng(seed)
    return Resampling(rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=replicates))


def ci95(replicates: np.ndarray) -> tuple[float, float]:
    """Percentile interval of bootstrap replicates (B,), those that are NaN left out."""
    finite = np.asarray(replicates)[np.isfinite(replicates)]
    if finite.size == 0:
        raise ValueError("no bootstrap replicate is finite; expected at least one")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def ratio_ci95(numerator: np.ndarray, denominator: np.ndarray) -> tuple[float, float] | None:
    """Percentile interval of a ratio of paired replicates (B,); None where the denominator may well be 0 or less."""
    known = np.isfinite(numerator) & np.isfinite(denominator)
    positive = known & (denominator > 0)
    if not known.any() or positive.sum() < DEFINED * known.sum():
        return None
    return ci95(numerator[positive] / denominator[positive])


def minimum_detectable_effect(differences: np.ndarray) -> float:
    """The smallest true difference that this many subjects would show, from the replicates (B,) of the difference."""
    finite = np.asarray(differences)[np.isfinite(differences)]
    return float(POWER_FACTOR * finite.std(ddof=1))
