"""All settings against one baseline: difference, share kept, and whether it could be chance."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdaug.statistics.bootstrap import ROUNDING
from sdaug.statistics.claims import Estimate, NoClaim, too_few
from sdaug.statistics.detectable import minimum_detectable_effect
from sdaug.statistics.holm import holm
from sdaug.statistics.kept import Better, Kept, passing_together, share_kept
from sdaug.statistics.paired import Figure, Pairs, mean_difference, pair
from sdaug.statistics.permutation import sign_flip_p


@dataclass(frozen=True)
class Comparison:
    """One setting against the baseline, in one figure.

    difference: setting less baseline, in the figure's unit. p: of the sign-flip test, that nothing but chance is behind
    it; p_holm: the same, adjusted for all settings compared together. detectable: the smallest true difference that as
    many people would show with power 0.8, in the figure's unit. These three are None with too few people, and
    `detectable` also where people's differences are all the same.
    """

    pairs: Pairs
    difference: Estimate | NoClaim
    kept: Kept
    p: float | None
    p_holm: float | None
    detectable: float | None


def compare(
    baseline: Figure, settings: Mapping[str, Figure], better: Better, level: float = 0.95, seed: int = 0
) -> dict[str, Comparison]:
    """Every setting against the baseline, by its name.

    The p-values, and which settings pass, are adjusted for these settings in this one figure; whoever looks at several
    figures passes all their p-values to `holm` at once. Errors as `share_kept`.
    """
    pairs = {name: pair(baseline, figure) for name, figure in settings.items()}
    claimed = [name for name, own in pairs.items() if too_few(len(own.people)) is None]
    p = {name: sign_flip_p(pairs[name].differences, seed) for name in claimed}
    adjusted = dict(zip(claimed, holm(np.array([*p.values()])).tolist(), strict=True))
    alone = {name: share_kept(own, better, level=level, seed=seed) for name, own in pairs.items()}
    kept = passing_together(alone, level)
    return {
        name: Comparison(
            own,
            mean_difference(own, level, seed),
            kept[name],
            p.get(name),
            adjusted.get(name),
            _detectable(own) if name in p else None,
        )
        for name, own in pairs.items()
    }


def _detectable(pairs: Pairs) -> float | None:
    sd = float(pairs.differences.std(ddof=1))
    same = sd <= ROUNDING * float(np.abs(pairs.baseline).max())
    return None if same else minimum_detectable_effect(sd, len(pairs.people))
