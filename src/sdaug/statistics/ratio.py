"""The interval of a ratio of two means over the same people."""

import numpy as np

from sdaug.statistics.bootstrap import ROUNDING, one_a_person, shares, studentised_bounds
from sdaug.statistics.claims import Estimate, NoClaim, too_few


def ratio_estimate(
    numerator: np.ndarray, denominator: np.ndarray, level: float = 0.95, seed: int = 0
) -> Estimate | NoClaim:
    """Mean of `numerator` (n,) by mean of `denominator` (n,), a row a person, with an interval over people.

    The interval holds each ratio r for which `numerator - r * denominator` has a mean that may be 0 (Fieller 1954,
    J. R. Statist. Soc. B 16, 175-185), by the bounds of the studentised bootstrap in place of Student's t. A
    studentised bootstrap of the ratio itself is as good for a denominator that varies little; where its mean is 4 of
    its standard errors it covers 90 %, this one 96 % (15 people, 3 000 simulated studies of 95 % intervals).

    NoClaim as `mean_estimate`, and where the denominator's mean may be 0 or less, or is so uncertain that the interval
    has no ends. Raises ValueError as `mean_estimate`, and on unequal lengths.

    >>> found = ratio_estimate(np.arange(2.0, 17.0), np.arange(1.0, 16.0))
    >>> round(found.value, 3), round(found.low, 2), round(found.high, 2)
    (1.125, 1.1, 1.18)
    """
    above, below = one_a_person(numerator, "numerator"), one_a_person(denominator, "denominator")
    if above.size != below.size:
        raise ValueError(f"{above.size} numerators, {below.size} denominators; expected one of each for every person")
    refusal = too_few(above.size) or not_positive(below, "the denominator", level, seed)
    if refusal is not None:
        return refusal
    ratio = float(above.mean() / below.mean())
    off = above - ratio * below
    if np.abs(off).max() <= ROUNDING * abs(above).max():
        return Estimate(ratio, ratio, ratio, above.size, level)
    bounds = studentised_bounds(off, level, seed)
    if isinstance(bounds, NoClaim):
        return bounds
    lowest, highest = bounds
    low, high = _at(highest, ratio, off, below), _at(lowest, ratio, off, below)
    if low is None or high is None:
        why = f"the figures of {below.size} people scatter too widely for its interval to have ends"
        return NoClaim(below.size, f"no ratio can be given: {why}")
    return Estimate(ratio, low, high, above.size, level)


def not_positive(values: np.ndarray, name: str, level: float = 0.95, seed: int = 0) -> NoClaim | None:
    """Why the mean of `values` (n,), n > 0, may be 0 or less; None if it is above 0 in all but few resamples."""
    own = one_a_person(values, name)
    doubtful = float((shares(own.size, seed) @ own <= 0).mean())
    if own.mean() > 0 and doubtful < (1 - level) / 2:
        return None
    why = f"{name} has a mean of {own.mean():.3g} over {own.size} people, which is not above 0 beyond doubt"
    return NoClaim(own.size, f"no ratio can be given: {why}")


def _at(bound: float, ratio: float, off: np.ndarray, below: np.ndarray) -> float | None:
    """The ratio at which the mean of numerator - r * denominator is `bound` of its spreads, None where there is none.

    With x = r - ratio, the mean is -x * mean(below) and the variance var(off) - 2 x cov(off, below) + x² var(below).
    """
    squared = bound**2
    shared = squared * float((off * below).mean() - off.mean() * below.mean())
    left = float(below.mean()) ** 2 - squared * float(below.var())
    if left <= 0:
        return None
    root = np.sqrt(shared**2 + left * squared * float(off.var()))
    return ratio + float(-shared - np.sign(bound) * root) / left
