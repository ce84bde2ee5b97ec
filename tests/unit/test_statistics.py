"""Statistics against scipy, brute force and simulated people whose true figures are known.

A simulation draws a thousand studies and counts how often the interval holds the truth. Every one is run with a wrong
method as well, which must fall outside of what the right one keeps to: else it would show nothing.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sdaug.statistics import claims
from sdaug.statistics.bootstrap import mean_estimate, shares
from sdaug.statistics.claims import MIN_PEOPLE, Estimate, NoClaim, too_few
from sdaug.statistics.comparison import compare
from sdaug.statistics.detectable import minimum_detectable_effect, people_needed, power
from sdaug.statistics.front import pareto_front
from sdaug.statistics.holm import holm
from sdaug.statistics.kept import share_kept
from sdaug.statistics.paired import Figure, Pairs, mean_difference, pair
from sdaug.statistics.permutation import sign_flip_p
from sdaug.statistics.ratio import ratio_estimate

STUDIES = 1000
STATED = (0.93, 0.97)
"""What a 95 % interval may cover over 1000 simulated studies."""


def estimate(found: Estimate | NoClaim) -> Estimate:
    assert isinstance(found, Estimate), found
    return found


def covered(found: list[Estimate | NoClaim], truth: float, given_at_least: float = 1.0) -> float:
    """How often the interval holds the truth, where one is given, and that it mostly is."""
    kept = [one for one in found if isinstance(one, Estimate)]
    assert len(kept) >= given_at_least * len(found)
    return float(np.mean([one.low <= truth <= one.high for one in kept]))


def percentile_covered(samples: np.ndarray, truth: float) -> float:
    """The same for scipy's percentile bootstrap of the mean, all studies (STUDIES, n) at once."""
    kind = {"method": "percentile", "n_resamples": 999, "axis": -1, "batch": 100}
    ends = stats.bootstrap((samples,), np.mean, **kind, rng=np.random.default_rng(0)).confidence_interval
    return float(((ends.low <= truth) & (truth <= ends.high)).mean())


def pairs_of(baseline: np.ndarray, setting: np.ndarray) -> Pairs:
    n = len(baseline)
    return Pairs(tuple(f"{i:03d}" for i in range(n)), np.asarray(baseline), np.asarray(setting), n, 0, 0, ())


def study(rng: np.random.Generator, people: int, effect: float) -> tuple[Figure, Figure]:
    """Baseline and setting of people with 2 to 9 rows each: a person's rows share most of what the setting does."""
    rows = rng.integers(2, 10, people)
    who = np.repeat([f"{i:03d}" for i in range(people)], rows)
    angle = np.concatenate([np.arange(n) for n in rows])
    level = rng.normal(0.7, 0.2, people).repeat(rows) + rng.normal(0, 0.1, rows.sum())
    change = rng.normal(effect, 0.1, people).repeat(rows) + rng.normal(0, 0.05, rows.sum())
    seeds = np.zeros(rows.sum(), int)
    return Figure(who, seeds, angle, level), Figure(who, seeds, angle, level + change)  # type: ignore[arg-type]


# -- coverage


@pytest.mark.parametrize("people", [MIN_PEOPLE, 40])
@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng, size: rng.normal(0.3, 2.0, size), 0.3),
        (lambda rng, size: rng.exponential(1.0, size), 1.0),
        (lambda rng, size: rng.binomial(10, 0.9, size) / 10 - rng.binomial(10, 0.8, size) / 10, 0.1),
    ],
    ids=["normal", "skewed", "shares of ten"],
)
def test_the_interval_of_a_mean_covers_what_it_states(draw, truth, people):
    samples = draw(np.random.default_rng(people), (STUDIES, people))
    found = covered([mean_estimate(row) for row in samples], truth)
    assert STATED[0] <= found <= STATED[1]


def test_the_percentile_interval_would_not():
    samples = np.random.default_rng(MIN_PEOPLE).exponential(1.0, (STUDIES, MIN_PEOPLE))
    assert percentile_covered(samples, 1.0) < STATED[0]
    few = np.random.default_rng(10).normal(size=(STUDIES, 10))
    assert percentile_covered(few, 0.0) < STATED[0]


def test_with_few_people_the_studentised_interval_still_covers_where_people_are_alike(monkeypatch):
    monkeypatch.setattr(claims, "MIN_PEOPLE", 10)
    samples = np.random.default_rng(1).normal(size=(STUDIES, 10))
    assert STATED[0] <= covered([mean_estimate(row) for row in samples], 0.0) <= STATED[1]


def test_the_fewest_people_are_those_among_whom_one_in_five_is_seen(monkeypatch):
    """A setting harms a fifth of all people badly: among ten, studies that meet none of them are too many."""

    def studies(people: int) -> list[Estimate | NoClaim]:
        rng = np.random.default_rng(3)
        size = (STUDIES, people)
        harmed = rng.random(size) < 0.2
        return [mean_estimate(row) for row in np.where(harmed, rng.normal(-1, 0.3, size), rng.normal(0, 0.1, size))]

    assert STATED[0] <= covered(studies(MIN_PEOPLE), -0.2) <= STATED[1]
    monkeypatch.setattr(claims, "MIN_PEOPLE", 10)
    assert covered(studies(10), -0.2) < 0.9


def test_people_are_resampled_and_not_rows():
    rng = np.random.default_rng(4)
    found, of_rows = [], []
    for _ in range(STUDIES):
        baseline, setting = study(rng, 20, effect=0.05)
        found.append(mean_difference(pair(baseline, setting)))
        rows = np.asarray(setting.values) - np.asarray(baseline.values)
        # Of a hundred rows and more, every bootstrap comes to this.
        low, high = stats.t.interval(0.95, rows.size - 1, rows.mean(), stats.sem(rows))
        of_rows.append(Estimate(rows.mean(), low, high, rows.size))
    assert STATED[0] <= covered(found, 0.05) <= STATED[1]
    assert covered(of_rows, 0.05) < 0.8


@pytest.mark.parametrize("people", [MIN_PEOPLE, 40])
def test_the_interval_of_a_ratio_covers_what_it_states(people):
    rng = np.random.default_rng(people)
    level = rng.lognormal(0, 0.5, (STUDIES, people))
    below, above = (level * factor * rng.lognormal(-0.005, 0.1, level.shape) for factor in (1.0, 0.98))
    found = [ratio_estimate(*row) for row in zip(above, below, strict=True)]
    assert STATED[0] <= covered(found, 0.98, given_at_least=0.99) <= STATED[1]


def test_the_interval_of_a_ratio_to_something_uncertain_covers_too():
    """The denominator's mean is 4 of its standard errors: a studentised bootstrap of the ratio covers 0.9."""
    rng = np.random.default_rng(5)
    below = rng.normal(1, math.sqrt(20) / 4, (STUDIES, 20))
    above = 0.98 * below + rng.normal(0, 0.2, below.shape)
    found = [ratio_estimate(*row) for row in zip(above, below, strict=True)]
    assert STATED[0] <= covered(found, 0.98, given_at_least=0.9) <= STATED[1]


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_setting_that_keeps_just_too_little_passes_about_once_in_forty(better):
    rng = np.random.default_rng(6)
    level = rng.normal(0.7, 0.1, (STUDIES, 20))
    factor = 0.99 if better == "higher" else 1 / 0.99
    kept = [
        share_kept(pairs_of(own + rng.normal(0, 0.02, 20), factor * own + rng.normal(0, 0.02, 20)), better)
        for own in level
    ]
    passed, failed = (sum(one.verdict == verdict for one in kept) for verdict in ("passes", "fails"))
    assert 0.015 < passed / STUDIES < 0.04 and 0.015 < failed / STUDIES < 0.04
    assert passed + failed + sum(one.verdict == "undecided" for one in kept) == STUDIES


# -- against independent implementations


@pytest.mark.parametrize(
    "values", [(0.1, 0.9, 0.35, 2.2, 0.5, 1.3), (0, 0, 0, 0.52, 0.91, 1.3), (0, 0, 0, -0.52, -0.91, -1.3)]
)
def test_a_studentised_interval_has_the_tails_of_all_possible_resamples(monkeypatch, values):
    """Six people can be drawn in 6 ** 6 ways: the interval's ends cut 2.5 % off either end of all of them, those
    without any spread on both sides."""
    monkeypatch.setattr(claims, "MIN_PEOPLE", 3)
    people = np.array(values)
    drawn = people[np.array(list(itertools.product(range(6), repeat=6)))]
    flat = np.ptp(drawn, axis=1) == 0
    t = (drawn.mean(1) - people.mean()) / (np.where(flat, 1, drawn.std(1, ddof=1)) / math.sqrt(6))
    found = estimate(mean_estimate(people))
    error = people.std(ddof=1) / math.sqrt(6)
    for sign, end in ((1, found.low), (-1, found.high)):
        beyond = sign * t - sign * (found.value - end) / error
        # Where people have one value, many resamples share a t: the end may lie on it.
        assert (flat | (beyond > 1e-9)).mean() - 0.003 <= 0.025 <= (flat | (beyond > -1e-9)).mean() + 0.003


def test_a_ratios_interval_ends_where_the_difference_from_it_is_in_the_tails(monkeypatch):
    """Numerator less r times denominator has, at either end, a t that 2.5 % of all possible resamples go beyond."""
    monkeypatch.setattr(claims, "MIN_PEOPLE", 3)
    below = np.array([1.0, 2.0, 1.5, 3.2, 2.4, 2.8])
    above = np.array([1.2, 1.9, 1.7, 2.8, 2.9, 2.6])

    def t(difference: np.ndarray) -> np.ndarray:
        return difference.mean(-1) / (difference.std(-1, ddof=1) / math.sqrt(6))

    ways = np.array(list(itertools.product(range(6), repeat=6)))
    ways = ways[(ways != ways[:, :1]).any(1)]
    found = estimate(ratio_estimate(above, below))
    assert found.value == pytest.approx(above.sum() / below.sum(), rel=1e-12)
    possible = t((above - found.value * below)[ways])
    assert (possible > t(above - found.low * below)).mean() == pytest.approx(0.025, abs=0.005)
    assert (possible < t(above - found.high * below)).mean() == pytest.approx(0.025, abs=0.005)


def test_a_ratio_to_a_constant_is_a_mean():
    values = np.random.default_rng(17).normal(1, 0.5, 20)
    mean, ratio = estimate(mean_estimate(values)), estimate(ratio_estimate(values, np.full(20, 4.0)))
    assert [4 * ratio.low, 4 * ratio.value, 4 * ratio.high] == pytest.approx([mean.low, mean.value, mean.high])


def test_with_many_people_all_methods_agree_with_scipys():
    rng = np.random.default_rng(7)
    below = rng.gamma(9.0, 0.1, 500)
    above = below * rng.normal(0.97, 0.1, 500)

    def ratio(a, b, axis):
        return a.mean(axis) / b.mean(axis)

    for ours, data, statistic in (
        (mean_estimate(above), (above,), np.mean),
        (ratio_estimate(above, below), (above, below), ratio),
    ):
        found = estimate(ours)
        theirs = stats.bootstrap(data, statistic, paired=True, method="BCa", rng=np.random.default_rng(0))
        width = found.high - found.low
        low, high = theirs.confidence_interval
        assert abs(found.low - low) < 0.05 * width and abs(found.high - high) < 0.05 * width
    t = stats.t.interval(0.95, 499, above.mean(), stats.sem(above))
    mean = estimate(mean_estimate(above))
    assert [mean.low, mean.high] == pytest.approx(t, abs=0.05 * (t[1] - t[0]))


def test_a_higher_level_is_wider_and_the_seed_decides():
    values = np.random.default_rng(8).normal(size=20)
    first, again, other = (estimate(mean_estimate(values, seed=seed)) for seed in (0, 0, 1))
    shares.cache_clear()
    assert first == again == mean_estimate(values) != other
    assert abs(first.low - other.low) < 0.05 * (first.high - first.low)
    wider = estimate(mean_estimate(values, level=0.99))
    assert wider.low < first.low < first.high < wider.high
    for level in (0.0, 1.0, 0.9999):
        with pytest.raises(ValueError, match="level"):
            mean_estimate(values, level=level)


@pytest.mark.parametrize("people", [2, 5, 11, 14])
def test_all_ways_to_flip_signs_agree_with_scipy(people):
    values = np.random.default_rng(people).normal(0.4, 1, people).round(1)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(values) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_drawn_flips_come_near_all_of_them():
    values = np.random.default_rng(9).normal(0.45, 1, 16)
    signs = np.array(list(itertools.product((-1, 1), repeat=16)))
    exact = float((abs(signs @ values) >= abs(values.sum()) - 1e-9).mean())
    assert 0.01 < exact < 0.2
    assert sign_flip_p(values) == pytest.approx(exact, abs=4 * math.sqrt(exact / 9999))
    assert sign_flip_p(values) == sign_flip_p(values) != sign_flip_p(values, seed=1)
    assert sign_flip_p(np.full(30, 0.5)) == pytest.approx(1 / 10_000), "never 0"


def test_without_an_effect_small_p_values_are_as_rare_as_they_say():
    samples = np.random.default_rng(10).laplace(size=(STUDIES, 12))
    p = np.array([sign_flip_p(row) for row in samples])
    assert 0.03 <= (p <= 0.05).mean() <= 0.07
    assert 0.16 <= (p <= 0.2).mean() <= 0.24
    assert sign_flip_p(np.zeros(20)) == sign_flip_p(np.array([0.3])) == 1.0


@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.04, 0.3, 1.0]), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_holm_is_what_testing_every_family_by_bonferroni_gives(p):
    """Closed testing (Marcus, Peritz & Gabriel 1976): a comparison counts if every family with it is rejected."""
    families = [f for k in range(1, len(p) + 1) for f in itertools.combinations(range(len(p)), k)]
    wanted = [max(min(1, len(f) * min(p[j] for j in f)) for f in families if i in f) for i in range(len(p))]
    assert holm(np.array(p)) == pytest.approx(wanted)


def test_holm_keeps_false_alarms_of_a_family_rare():
    p = np.random.default_rng(11).random((STUDIES, 20))
    assert 0.03 <= np.mean([(holm(row) <= 0.05).any() for row in p]) <= 0.07
    assert (p.min(1) <= 0.05).mean() > 0.5, "unadjusted, more than half of the families have one"
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm(np.array([0.1, math.nan]))


# -- what could be seen


@pytest.mark.parametrize(("effect", "people"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_people_needed_are_those_of_the_textbook(effect, people):
    """Paired t test, 80 % power, two-sided 5 %: G*Power 3 (Faul et al. 2007) gives these for Cohen's three sizes."""
    assert people_needed(effect, 1.0) == people == people_needed(-3 * effect, 3.0)
    assert power(effect, 1.0, people) >= 0.8 > power(effect, 1.0, people - 1)


@pytest.mark.parametrize("people", [15, 40])
def test_the_detectable_effect_is_found_four_times_in_five(people):
    effect = minimum_detectable_effect(2.0, people)
    shift = effect / 2 * math.sqrt(people)
    bound = stats.t.ppf(0.975, people - 1)
    reached = 1 - stats.nct.cdf(bound, people - 1, shift) + stats.nct.cdf(-bound, people - 1, shift)
    assert reached == pytest.approx(0.8, abs=1e-6)
    samples = np.random.default_rng(people).normal(effect, 2.0, (20_000, people))
    p = stats.ttest_1samp(samples, 0.0, axis=1).pvalue
    assert (p <= 0.05).mean() == pytest.approx(0.8, abs=0.012)
    ours = np.mean([sign_flip_p(row) <= 0.05 for row in samples[:300]])
    assert ours == pytest.approx(0.8, abs=0.08), "the test in use finds about as many"


def test_power_without_an_effect_is_alpha():
    assert power(0.0, 1.0, 20) == pytest.approx(0.05)
    assert power(9.0, 1.0, 20) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power(0.1, 0.0, 20), "standard deviation of 0.0"),
        (lambda: power(0.1, 1.0, 1), "at least 2"),
        (lambda: power(0.1, 1.0, 20, alpha=1.0), "alpha is 1.0"),
        (lambda: minimum_detectable_effect(1.0, 20, power_wanted=0.04), "power 0.04"),
        (lambda: people_needed(0.0, 1.0), "an effect of 0.0"),
    ],
)
def test_power_of_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- pairing


def test_rows_without_a_partner_are_dropped_and_counted():
    nan = math.nan
    baseline = Figure(["a", "a", "b", "b", "c"], [0, 1, 0, 1, 0], ["x"] * 5, [1.0, 2.0, 3.0, nan, 5.0])
    setting = Figure(["a", "a", "b", "b", "d"], [0, 1, 0, 1, 0], ["x"] * 5, [1.5, nan, 2.0, 9.0, 7.0])
    found = pair(baseline, setting)
    assert found.people == ("a", "b") and found.people_dropped == ("c", "d")
    assert found.baseline.tolist() == [1.0, 3.0] and found.setting.tolist() == [1.5, 2.0]
    assert (found.rows, found.baseline_dropped, found.setting_dropped) == (2, 3, 3)


def test_each_person_counts_alike_and_the_order_of_rows_does_not():
    baseline, setting = study(np.random.default_rng(12), 20, effect=-0.1)
    mixed = np.random.default_rng(0).permutation(len(baseline.people))
    shuffled = [Figure(*(np.asarray(column)[mixed] for column in vars(one).values())) for one in (baseline, setting)]
    assert mean_difference(pair(baseline, setting)) == mean_difference(pair(*shuffled))
    assert mean_difference(pair(baseline, setting)) == mean_difference(pair(baseline, shuffled[1]))
    of_person: dict[str, list[float]] = {}
    for who, before, after in zip(baseline.people, baseline.values, setting.values, strict=True):
        of_person.setdefault(who, []).append(after - before)
    by_person = np.mean([np.mean(rows) for rows in of_person.values()])
    by_row = np.mean(np.asarray(setting.values) - np.asarray(baseline.values))
    found = estimate(mean_difference(pair(baseline, setting)))
    assert found.value == pytest.approx(by_person) and abs(found.value - by_row) > 1e-3


def test_a_figure_that_is_not_one_is_refused():
    with pytest.raises(ValueError, match="person a, seed 0, angle x is there twice"):
        Figure(["a", "a"], [0, 0], ["x", "x"], [1.0, 2.0])
    with pytest.raises(ValueError, match="expected one length"):
        Figure(["a"], [0], ["x"], [1.0, 2.0])
    with pytest.raises(ValueError, match="infinite"):
        Figure(["a"], [0], ["x"], [math.inf])


# -- no claim


@pytest.mark.parametrize("people", [0, 1, MIN_PEOPLE - 1])
def test_of_too_few_people_nothing_is_claimed(people):
    values = np.arange(people, dtype=float) + 1
    who = "1 person" if people == 1 else f"{people} people"
    why = f"no claim can be made with {who}; at least {MIN_PEOPLE} are needed"
    assert mean_estimate(values) == ratio_estimate(values, values) == too_few(people) == NoClaim(people, why)
    assert too_few(MIN_PEOPLE) is None
    kept = share_kept(pairs_of(values, values), "higher")
    assert kept.verdict == "no claim" and kept.share == NoClaim(people, why)


def test_a_share_of_nothing_is_no_number():
    rng = np.random.default_rng(13)
    around_zero, well_above = rng.normal(0.0, 0.3, 20), rng.normal(1.0, 0.1, 20)
    for pairs, better, name in (
        (pairs_of(around_zero, well_above), "higher", "the baseline"),
        (pairs_of(around_zero, well_above), "lower", "the baseline"),
        (pairs_of(-well_above, well_above), "higher", "the baseline"),
        (pairs_of(np.zeros(20), well_above), "lower", "the baseline"),
        (pairs_of(well_above, around_zero), "lower", "the denominator"),
    ):
        kept = share_kept(pairs, better)
        assert kept.verdict == "no claim" and isinstance(kept.share, NoClaim)
        assert kept.share.why.startswith(f"no ratio can be given: {name} has a mean of")
    assert share_kept(pairs_of(well_above, around_zero), "higher").verdict == "fails"


def test_a_few_who_differ_do_not_show_how_people_spread():
    values = np.zeros(20)
    values[:2] = (0.3, 0.4)
    for found in (mean_estimate(values), mean_estimate(-values), ratio_estimate(1 - values, np.ones(20))):
        assert isinstance(found, NoClaim) and "too few of 20 people differ" in found.why
    values[:5] = (0.3, 0.4, 0.2, 0.3, 0.1)
    assert estimate(mean_estimate(values)).low < estimate(mean_estimate(values)).value


@pytest.mark.parametrize("constant", [0.0, 0.1, -0.7])
def test_where_nobody_differs_the_interval_has_no_width(constant):
    baseline = np.random.default_rng(14).normal(0.7, 0.1, 20)
    found = estimate(mean_estimate(np.full(20, constant)))
    assert found.low == found.value == found.high == pytest.approx(constant)
    kept = share_kept(pairs_of(baseline, 0.985 * baseline), "higher")
    assert kept.verdict == "fails" and estimate(kept.share).high == pytest.approx(0.985)
    assert share_kept(pairs_of(baseline, baseline), "lower").verdict == "passes"


def test_the_verdict_is_that_of_the_whole_interval():
    rng = np.random.default_rng(15)
    baseline = rng.normal(0.7, 0.05, 20)
    noise = rng.normal(0, 0.005, 20)
    verdicts = [share_kept(pairs_of(baseline, factor * baseline + noise), "higher").verdict for factor in (1.01, 0.97)]
    wide = share_kept(pairs_of(baseline, 0.995 * baseline + 20 * noise), "higher")
    assert [*verdicts, wide.verdict] == ["passes", "fails", "undecided"]
    slower = pairs_of(baseline, 1.02 * baseline)
    assert share_kept(slower, "lower").verdict == "fails" and share_kept(slower, "higher").verdict == "passes"
    assert share_kept(slower, "lower", enough=0.97).verdict == "passes"
    with pytest.raises(ValueError, match="better is 'more'"):
        share_kept(slower, "more")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="enough is nan"):
        share_kept(slower, "lower", enough=math.nan)


@pytest.mark.parametrize(("values", "message"), [([[1.0] * 20], r"\(1, 20\)"), ([math.nan] * 20, "not finite")])
def test_values_that_are_not_one_a_person_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        mean_estimate(np.array(values))
    with pytest.raises(ValueError, match="expected"):
        sign_flip_p(np.array(values))
    with pytest.raises(ValueError, match="20 numerators, 19 denominators"):
        ratio_estimate(np.ones(20), np.ones(19))
    with pytest.raises(ValueError, match="finite ends in order"):
        Estimate(1.0, 2.0, 0.0, 20)


# -- all together


def test_every_setting_is_compared_and_adjusted_for_the_others():
    rng = np.random.default_rng(16)
    baseline, worse = study(rng, 20, effect=-0.15)
    same = Figure(baseline.people, baseline.seeds, baseline.angles, baseline.values)
    few = [i for i, who in enumerate(baseline.people) if who < "005"]
    short = Figure(*(np.asarray(column)[few] for column in vars(worse).values()))
    found = compare(baseline, {"worse": worse, "same": same, "short": short}, "higher")
    assert [found[name].kept.verdict for name in found] == ["fails", "passes", "no claim"]
    p = [found[name].p for name in ("worse", "same")]
    assert p[1] == 1.0 and [found[name].p_holm for name in ("worse", "same")] == holm(np.array(p)).tolist()
    sd = found["worse"].pairs.differences.std(ddof=1)
    assert found["worse"].detectable == minimum_detectable_effect(sd, 20) and found["same"].detectable is None
    faster = Figure(baseline.people, baseline.seeds, baseline.angles, np.asarray(baseline.values) - 0.1)
    assert compare(baseline, {"faster": faster}, "lower")["faster"].detectable is None, "but for rounding, all the same"
    assert isinstance(found["short"].difference, NoClaim)
    assert found["short"].p is found["short"].p_holm is found["short"].detectable is None
    assert compare(baseline, {}, "higher") == {}


def test_of_many_settings_that_keep_just_too_little_none_passes():
    """24 settings that truly keep 98.99 %: alone one in forty passes by luck, in most studies one of them."""
    lucky = together = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        people = [f"{n:03}" for n in range(20)]
        base = rng.normal(0.8, 0.05, 20)
        columns = (people, [0] * 20, ["front"] * 20)
        settings = {str(n): Figure(*columns, 0.9899 * base + rng.normal(0, 0.004, 20)) for n in range(24)}
        alone = {name: compare(Figure(*columns, base), {name: one}, "higher")[name] for name, one in settings.items()}
        lucky += any(one.kept.verdict == "passes" for one in alone.values())
        found = compare(Figure(*columns, base), settings, "higher")
        together += any(one.kept.verdict == "passes" for one in found.values())
    assert lucky >= 3 and together <= 1
    true = {str(n): Figure(*columns, base + rng.normal(0, 0.004, 20)) for n in range(24)}
    assert {one.kept.verdict for one in compare(Figure(*columns, base), true, "higher").values()} == {"passes"}


# -- the front

CELL = st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf])


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=8))
@settings(max_examples=200, deadline=None)
def test_the_front_is_what_nothing_dominates(rows):
    table = np.array(rows, float).reshape(-1, 3)
    found = pareto_front(table[:, :2], table[:, 2:])

    def beats(one, other):
        no_worse = one[0] <= other[0] and one[1] <= other[1] and one[2] >= other[2]
        return no_worse and tuple(one) != tuple(other)

    wanted = [not any(map(math.isnan, row)) and not any(beats(other, row) for other in rows) for row in rows]
    assert found.dtype == bool and found.tolist() == wanted


def test_a_front_needs_columns_of_one_length():
    for small, large in (((3, 0), (3, 0)), ((3, 1), (2, 1)), ((3,), (3, 1))):
        with pytest.raises(ValueError, match="with some column"):
            pareto_front(np.zeros(small), np.zeros(large))
