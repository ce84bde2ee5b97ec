"""Could it be chance? The sign-flip test over people."""

import numpy as np

EXACT_PEOPLE = 14
"""Up to 2 ** 14 = 16 384 ways of flipping are all looked at; beyond, as many as FLIPS are drawn."""

FLIPS = 9_999
TIE = 1e-12
"""Sums that differ by less than this share of their largest possible value are one sum, differently rounded."""


def sign_flip_p(differences: np.ndarray, seed: int = 0) -> float:
    """Two-sided p-value, in (0, 1], that people's `differences` (n,) lie around 0.

    Without an effect the sign of each person's difference is chance (Fisher 1935, The Design of Experiments, 21), if
    the differences are symmetric about 0; p is the share of ways to flip signs that give a mean as far from 0 as the
    one found. All ways with up to 14 people. Beyond, drawn ones, the one found counted among them: (b + 1) / (m + 1),
    so that p is never 0 and no smaller than it may be (Phipson & Smyth 2010).

    Raises ValueError with nobody, and on values that are not finite or not (n,).

    >>> sign_flip_p(np.array([0.2, 0.1, 0.4, 0.3, 0.2]))
    0.0625
    """
    own = np.asarray(differences, np.float64)
    if own.ndim != 1 or own.size == 0 or not np.isfinite(own).all():
        raise ValueError(f"differences have shape {own.shape}; expected (n,) finite values, one a person")
    found, tie = abs(own.sum()), TIE * np.abs(own).sum()
    if own.size <= EXACT_PEOPLE:
        # The last person keeps the sign: flipping everyone mirrors the sum, so half of the ways tell all.
        signs = 1.0 - 2.0 * (np.arange(2 ** (own.size - 1))[:, None] >> np.arange(own.size) & 1)
        return float((np.abs(signs @ own) >= found - tie).mean())
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(FLIPS, own.size))
    return float((1 + (np.abs(signs @ own) >= found - tie).sum()) / (1 + FLIPS))
