"""How small an effect this many people can show, and how many it takes to show a given one."""

import math

POWER = 0.8
ALPHA = 0.05


def power(effect: float, sd: float, people: int, alpha: float = ALPHA) -> float:
    """How often, in (0, 1), a two-sided paired t test at `alpha` finds a true mean difference of `effect`.

    sd: standard deviation of people's differences, same unit as `effect`. From the noncentral t distribution (Cohen
    1988, Statistical Power Analysis, 2.3). Raises ValueError for fewer than 2 people, an sd that is not a number above
    0, an effect that is not finite or an alpha outside 0..1.

    >>> round(power(0.5, 1.0, 34), 3)
    0.808
    """
    from scipy import stats

    _check(sd, alpha)
    if people < 2 or not math.isfinite(effect):
        raise ValueError(f"an effect of {effect} with {people} people; expected a finite one and at least 2")
    bound = stats.t.ppf(1 - alpha / 2, people - 1)
    shift = abs(effect) / sd * math.sqrt(people)
    # The far tail is left out where it is nothing: scipy's nct loses its digits there.
    far = stats.nct.cdf(-bound, people - 1, shift) if shift < 5 else 0.0
    return float(stats.nct.sf(bound, people - 1, shift) + far)


def minimum_detectable_effect(sd: float, people: int, power_wanted: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest true mean difference, in the unit of `sd`, that `people` people would show with that power.

    A difference that was not found may still be there if it is smaller than this. Errors as `power`.

    >>> round(minimum_detectable_effect(1.0, 34), 3)
    0.495
    """
    from scipy.optimize import root_scalar

    _check(sd, alpha)
    if not alpha < power_wanted < 1:
        raise ValueError(f"power {power_wanted}; expected above alpha, {alpha}, and below 1")
    upper = 1.0
    while power(upper, 1.0, people, alpha) < power_wanted:
        upper *= 2
    return sd * root_scalar(lambda effect: power(effect, 1.0, people, alpha) - power_wanted, bracket=(0.0, upper)).root


def people_needed(effect: float, sd: float, power_wanted: float = POWER, alpha: float = ALPHA) -> int:
    """The fewest people who would show a true mean difference of `effect` with that power. Errors as `power`.

    >>> people_needed(0.5, 1.0)
    34
    """
    if not abs(effect) > 0:
        raise ValueError(f"an effect of {effect}; expected one other than 0, which no number of people can show")
    enough = 2
    while power(effect, sd, enough, alpha) < power_wanted:
        enough *= 2
    low = enough // 2
    while enough - low > 1:
        middle = (low + enough) // 2
        low, enough = (low, middle) if power(effect, sd, middle, alpha) >= power_wanted else (middle, enough)
    return enough


def _check(sd: float, alpha: float) -> None:
    if not (math.isfinite(sd) and sd > 0):
        raise ValueError(f"a standard deviation of {sd}; expected a finite one above 0")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; expected above 0 and below 1")
