"""Many comparisons: the more are made, the likelier one of them looks like an effect by chance."""

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (m,) adjusted by Holm's step-down rule, (m,) in the order given, each at least as large as before.

    Calling those at or below 0.05 effects calls any false one in at most 5 % of such families, however the comparisons
    depend on each other (Holm 1979, Scand. J. Statist. 6, 65-70). Raises ValueError on values outside 0..1 or not (m,).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    own = np.asarray(p, np.float64)
    if own.ndim != 1 or not ((own >= 0) & (own <= 1)).all():
        raise ValueError(f"p-values {own.tolist()}; expected (m,) numbers from 0 to 1")
    order = np.argsort(own)
    stepped = np.maximum.accumulate(own[order] * np.arange(own.size, 0, -1))
    adjusted = np.empty_like(own)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
