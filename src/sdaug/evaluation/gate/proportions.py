"""How sure a counted share is."""

import math

Z95 = 1.959964
"""Two-sided 95 % point of the normal distribution."""


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of `hits` in `n` independent trials; never outside 0..1, usable at 0 and at n.

    >>> tuple(round(v, 3) for v in wilson_interval(29, 30))
    (0.833, 0.994)
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} hits in {n} trials; expected 0 to n hits and at least one trial")
    rate, z2 = hits / n, Z95**2
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)
