"""What share of the baseline's figure a setting keeps, and whether that is enough."""

from dataclasses import dataclass
from typing import Literal

from sdaug.statistics.claims import Estimate, NoClaim, too_few
from sdaug.statistics.paired import Pairs
from sdaug.statistics.ratio import not_positive, ratio_estimate

ENOUGH = 0.99
"""An optimised setting passes when it keeps at least this share of the baseline's figure."""

Better = Literal["higher", "lower"]
Verdict = Literal["passes", "fails", "undecided", "no claim"]


@dataclass(frozen=True)
class Kept:
    """share: 1 = all of the baseline's figure; above 1 the setting is better than the baseline."""

    share: Estimate | NoClaim
    verdict: Verdict


def share_kept(pairs: Pairs, better: Better, enough: float = ENOUGH, level: float = 0.95, seed: int = 0) -> Kept:
    """The share of the baseline's mean over people that the setting keeps, and the verdict on it.

    Where higher is better that is setting / baseline; where lower is (a latency, an error), baseline / setting.
    `passes` if the whole interval is at `enough` or above, `fails` if all of it is below, `undecided` else. Bounds are
    one-sided claims: at level 0.95 a setting that keeps just less than enough passes about once in 40 times. For the
    best of m settings, level 1 - 0.05 / m keeps that true of all of them together (Bonferroni).

    `no claim` with too few people, and where a share means nothing: the baseline's mean (and where lower is better the
    setting's) is 0 or less or might be, as that of a cosine or of an error can. A share of a cosine has a meaning only
    as far as 0 means "nothing in common". Raises ValueError on another `better` or an `enough` that is not above 0.
    """
    if better not in ("higher", "lower"):
        raise ValueError(f"better is {better!r}; expected 'higher' or 'lower'")
    if not enough > 0:
        raise ValueError(f"enough is {enough}; expected a share above 0")
    people = len(pairs.people)
    refusal = too_few(people) or not_positive(pairs.baseline, "the baseline", level, seed)
    if refusal is not None:
        return Kept(refusal, "no claim")
    above, below = (pairs.setting, pairs.baseline) if better == "higher" else (pairs.baseline, pairs.setting)
    share = ratio_estimate(above, below, level, seed)
    return Kept(share, _verdict(share, enough))


def _verdict(share: Estimate | NoClaim, enough: float) -> Verdict:
    if isinstance(share, NoClaim):
        return "no claim"
    if share.low >= enough:
        return "passes"
    return "fails" if share.high < enough else "undecided"
