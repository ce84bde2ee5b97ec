"""What share of the baseline's figure a setting keeps, and whether that is enough."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sdaug.statistics.bootstrap import above_zero_p
from sdaug.statistics.claims import Estimate, NoClaim, too_few
from sdaug.statistics.holm import holm
from sdaug.statistics.paired import Pairs
from sdaug.statistics.ratio import not_positive, ratio_estimate

ENOUGH = 0.99
"""An optimised setting passes when it keeps at least this share of the baseline's figure."""

Better = Literal["higher", "lower"]
Verdict = Literal["passes", "fails", "undecided", "no claim"]


@dataclass(frozen=True)
class Kept:
    """share: 1 = all of the baseline's figure; above 1 the setting is better than the baseline. p: one-sided, that it
    keeps less than enough; None without a claim."""

    share: Estimate | NoClaim
    verdict: Verdict
    p: float | None = None


def share_kept(pairs: Pairs, better: Better, enough: float = ENOUGH, level: float = 0.95, seed: int = 0) -> Kept:
    """The share of the baseline's mean over people that the setting keeps, and the verdict on it.

    Where higher is better that is setting / baseline; where lower is (a latency, an error), baseline / setting.
    `passes` if the whole interval is at `enough` or above, `fails` if all of it is below, `undecided` else. Bounds are
    one-sided claims: at level 0.95 a setting that keeps just less than enough passes about once in 40 times. Of several
    settings, `passing_together` keeps that true of all of them.

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
    if isinstance(share, NoClaim):
        return Kept(share, "no claim")
    return Kept(share, _verdict(share, enough), above_zero_p(above - enough * below, seed))


def passing_together(kept: Mapping[str, Kept], level: float = 0.95) -> dict[str, Kept]:
    """The same of several settings, of which with probability 1 - (1 - level) / 2 none passes that keeps too little.

    What passes alone does so here too if its p, adjusted by Holm's method for all of them, is at most (1 - level) / 2,
    and is `undecided` else. The p's are never below 1 / 10 000: of more than 250 settings at level 0.95 none passes but
    those that everybody keeps alike.
    """
    names = [name for name, one in kept.items() if one.p is not None]
    adjusted = dict(zip(names, holm(np.array([kept[name].p for name in names], float)), strict=True)) if names else {}
    doubtful = {name for name, p in adjusted.items() if kept[name].verdict == "passes" and p > (1 - level) / 2}
    return {name: replace(one, verdict="undecided") if name in doubtful else one for name, one in kept.items()}


def _verdict(share: Estimate, enough: float) -> Verdict:
    if share.low >= enough:
        return "passes"
    return "fails" if share.high < enough else "undecided"
