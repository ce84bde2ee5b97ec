"""Enrolment gain on simulated people whose answers are known, and on drawn score tables."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from sdaug.evaluation.gain.arms import ungated, wrong_person
from sdaug.evaluation.gain.chosen import TARGET_FMR, all_arms
from sdaug.evaluation.gain.fusion import CANDIDATES, MIN_VALID, VIEW_YAWS, Extra, Fusion, choose_on_others
from sdaug.evaluation.gain.intervals import ci95, minimum_detectable_effect, ratio_ci95, resample
from sdaug.evaluation.gain.report import gain_report
from sdaug.evaluation.gain.simulated import RECOGNISER, World, simulate
from sdaug.evaluation.gain.text import gain_text
from sdaug.evaluation.gain.trials import Trials, too_few
from sdaug.evaluation.metrics import fnmr_at_fmr, weighted_fnmr_at_fmr

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=20).map(np.array)


@pytest.fixture(scope="module")
def copies():
    """Views that are copies of the source."""
    return gain_report(simulate(World(likeness=0.0)), replicates=200)


@pytest.fixture(scope="module")
def helpful():
    return gain_report(simulate(World(likeness=0.4)), replicates=200)


# -- known answers


def test_copies_of_the_source_close_nothing(copies):
    for arm in ("flip", "jitter", "warp", "warp_max", "warp_ungated"):
        assert copies["gap_closed"][arm]["value"] == 0
        assert copies["gap_closed"][arm]["ci95"] == [0, 0]
    assert copies["verdict"].startswith("no gain: warp")


def test_views_that_show_the_profile_help_and_strangers_hurt(helpful):
    arms = {name: arm["fnmr_at_fmr_1e-2"] for name, arm in helpful["arms"].items()}
    assert arms["real_photos"] < arms["warp"] < arms["single"] - 0.1 < arms["wrong_person"] - 0.3
    low, high = helpful["gap_closed"]["warp"]["ci95"]
    assert 0 < low < helpful["gap_closed"]["warp"]["value"] < high
    assert helpful["gap_closed"]["wrong_person"]["value"] < 0
    assert helpful["verdict"].startswith("gain: warp takes FNMR at FMR 1e-2 from")
    assert helpful["checks"] == {
        "wrong_person_hurts": True, "real_photos_help": True, "no_loss_within_yaw_15": True
    }  # fmt: skip


def test_a_true_template_helps_by_what_can_be_computed():
    """Without noise or pose, score of template t is |projection|: S orthogonal people are told apart without error,
    and with half of the probes orthogonal to the source, a second true template brings FNMR from 1/2 to 0."""
    world = simulate(World(subjects=4, probes=2, dim=8))
    axes = np.eye(8)
    probes = [
        [replace(p, vectors={"simulated": axes[2 * s + k]}) for k, p in enumerate(own)]
        for s, own in enumerate(world.probes)
    ]
    made = replace(
        world,
        sources=[{"simulated": axes[2 * s]} for s in range(4)],
        probes=probes,
        extras=dict(world.extras) | {"real_photos": [[Extra({"simulated": axes[2 * s + 1]})] for s in range(4)]},
    )
    arms = all_arms(made, RECOGNISER)
    single, real = arms["single"].trials, arms["real_photos"].trials
    assert (single.mated.size, single.non_mated.size) == (8, 24)
    assert single.fnmr_at_fmr(0.0) == 0.5 and real.fnmr_at_fmr(0.0) == 0.0
    assert real.mated == pytest.approx(np.sqrt(0.5))


def test_the_maximum_inflates_false_matches_at_a_fixed_threshold():
    """With views that hold noise only, every extra template is one more chance for a stranger."""
    material = simulate(World())
    rng = np.random.default_rng(0)
    noise = [
        [replace(e, vectors={"simulated": _unit(rng.normal(size=64))}) for e in own] for own in material.extras["warp"]
    ]
    report = gain_report(replace(material, extras=dict(material.extras) | {"warp": noise}), replicates=50)
    inflated = report["arms"]["warp_max"]
    assert report["arms"]["single"]["fmr_at_threshold_of_single"] <= 0.01
    assert inflated["fmr_at_threshold_of_single"] > 0.015
    assert inflated["mean_non_mated_score"] > report["arms"]["single"]["mean_non_mated_score"] + 0.03
    assert inflated["threshold"] > report["arms"]["single"]["threshold"]
    assert report["gap_closed"]["warp_max"]["value"] < 0, "at equal FMR it loses"


def _unit(vector):
    return vector / np.linalg.norm(vector)


def test_a_subject_without_an_accepted_view_counts_as_single():
    material = simulate(World(subjects=6))
    refused = [[replace(e, accepted=False, reasons=("blurred",)) for e in own] for own in material.extras["warp"]]
    some = [*refused[:2], *material.extras["warp"][2:]]
    report = gain_report(replace(material, extras=dict(material.extras) | {"warp": some}), replicates=20)
    arm = report["arms"]["warp"]
    assert arm["subjects_as_single"] == 2
    views = 2 * len(VIEW_YAWS)
    assert arm["samples"]["refusals"] == {"blurred": 2 * views} and arm["samples"]["accepted"] == 4 * views
    nobody = all_arms(replace(material, extras=dict(material.extras) | {"warp": refused}), RECOGNISER)
    assert np.array_equal(nobody["warp"].trials.scores, nobody["single"].trials.scores)
    assert "nothing of another person to enrol" in nobody["wrong_person"]
    assert not np.array_equal(nobody["warp_ungated"].trials.scores, nobody["single"].trials.scores)


def test_an_arm_that_could_not_be_had_is_null_with_its_reason(helpful):
    arm = helpful["arms"]["diffusion"]
    assert (arm["fnmr_at_fmr_1e-2"], arm["fnmr_at_fmr_1e-3"], arm["ci95"], arm["reason"]) == (
        None,
        None,
        None,
        "not asked for",
    )
    assert helpful["gap_closed"]["diffusion"] == {"value": None, "ci95": None, "reason": "arm diffusion: not asked for"}


def test_fmr_1e_3_needs_ten_false_matches(helpful):
    small = gain_report(simulate(World(subjects=5, probes=8)), replicates=20)["arms"]["single"]
    assert (
        small["fnmr_at_fmr_1e-3"] is None
        and "0.2 false matches expected among 160" in small["reasons"]["fnmr_at_fmr_1e-3"]
    )
    assert helpful["arms"]["single"]["fnmr_at_fmr_1e-3"] is None
    large = simulate(World(subjects=23, probes=20))
    assert gain_report(large, replicates=20)["arms"]["single"]["fnmr_at_fmr_1e-3"] is not None
    assert too_few(10_000, 1e-3) is None and "10.0 false matches" in str(too_few(9_999, 1e-3))


def test_no_gap_no_share():
    material = simulate(World(subjects=6))
    nothing = [[] for _ in material.subjects]
    report = gain_report(replace(material, extras=dict(material.extras) | {"real_photos": nothing}), replicates=20)
    assert report["gap_closed"]["warp"]["value"] is None and "no gap" in report["gap_closed"]["warp"]["reason"]


def test_the_text_says_what_the_report_says(helpful):
    text = gain_text(helpful)
    assert helpful["verdict"] in text and "not made: not asked for" in text
    for name in helpful["arms"]:
        assert f"\n{name}" in text


# -- the choice of a fusion


def test_the_choice_for_a_subject_does_not_see_that_subject():
    """Whatever the subject's own templates and probes score, its choice stands."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(5), 6)
    for subject in range(5):
        tables = [Trials(rng.normal(size=(5, 30)) + 2 * (owner == np.arange(5)[:, None]), owner) for _ in CANDIDATES]
        picked = choose_on_others(tables, subject, TARGET_FMR)
        poisoned = []
        for table in tables:
            scores = table.scores.copy()
            scores[subject] = rng.normal(size=30) * 100
            scores[:, owner == subject] = rng.normal(size=(5, 6)) * 100
            poisoned.append(Trials(scores, owner))
        assert choose_on_others(poisoned, subject, TARGET_FMR) == picked


def test_without_a_subject():
    trials = Trials(np.arange(12.0).reshape(3, 4), np.array([0, 1, 1, 2]))
    left = trials.without(1)
    assert left.scores.tolist() == [[0, 3], [8, 11]] and left.owner.tolist() == [0, 1]
    assert left.mated.tolist() == [0, 11] and left.non_mated.tolist() == [3, 8]


def test_weights_of_a_fusion():
    near, far = Extra({}, 15, 10, valid=0.9), Extra({}, -60, 70, valid=0.5)
    assert Fusion().weights([near, far]).tolist() == [0.5, 0.5]
    quality, pose, both = (Fusion((), w).weights([near, far]) for w in ("quality", "pose", "quality_and_pose"))
    assert quality[0] == pytest.approx(0.81 / (0.81 + 0.25)) and pose[1] > 0.95
    assert pose[0] < both[0] < quality[0]
    assert Fusion((60,)).used([near, far, replace(far, accepted=False)]) == [far]
    assert Fusion().used([replace(far, valid=MIN_VALID - 0.01)]) == [], "mostly invented"
    other, refused = replace(near, yaw_deg=45), replace(near, yaw_deg=60, accepted=False)
    assert Fusion(farthest=True).used([near, other, far, refused]) == [other, far]
    assert Fusion((), "pose").weights([replace(near, turned_deg=0.0)]).tolist() == [1.0], "nothing to weigh by"


def test_a_template_is_the_source_where_nothing_is_used():
    source = np.array([0.6, 0.8])
    extra = Extra({"r": np.array([1.0, 0.0])}, 45)
    assert Fusion((60,)).template(source, [extra], "r", unit=True).tolist() == source.tolist()
    assert Fusion().template(source, [extra], "r", unit=True) == pytest.approx(_unit(source + [1, 0]))
    assert Fusion().template(source, [extra], "r", unit=False) == pytest.approx((source + [1, 0]) / 2)


def test_a_stranger_is_never_oneself():
    own = [[Extra({}, 45, accepted=i != 1, reasons=(str(i),))] for i in range(3)]
    assert [e[0].reasons for e in wrong_person(own)] == [("2",), ("2",), ("0",)]
    assert wrong_person([own[0], own[1]])[0] == [], "nobody else has one"
    assert all(e.accepted for extras in ungated(own) for e in extras)


# -- intervals


@settings(deadline=None)
@given(SCORES, SCORES, st.integers(0, 999), st.sampled_from([0.0, 0.01, 0.02, 0.1, 0.5, 1.0]))
def test_weighted_rates_are_those_of_repeated_scores(mated, non_mated, seed, target):
    rng = np.random.default_rng(seed)
    own, other = rng.integers(0, 4, (5, mated.size)), rng.integers(0, 4, (5, non_mated.size))
    own[:, 0], other[:, 0] = 1, 1
    rates = weighted_fnmr_at_fmr(mated, own, non_mated, other, target)
    for rate, a, b in zip(rates, own, other, strict=True):
        assert rate == pytest.approx(fnmr_at_fmr(np.repeat(mated, a), np.repeat(non_mated, b), target))


@settings(deadline=None)
@given(SCORES, SCORES, st.integers(0, 999))
def test_weighted_rates_lie_on_scikit_learns_weighted_curve(mated, non_mated, seed):
    rng = np.random.default_rng(seed)
    own, other = rng.integers(1, 4, (1, mated.size)), rng.integers(1, 4, (1, non_mated.size))
    truth, weights = np.r_[np.ones(mated.size), np.zeros(non_mated.size)], np.r_[own[0], other[0]]
    fmr, tmr, thresholds = sklearn_metrics.roc_curve(
        truth, np.r_[mated, non_mated], sample_weight=weights, drop_intermediate=False
    )
    for target in (0.05, 0.3):
        allowed = [k for k, t in enumerate(thresholds) if t in non_mated and fmr[k] <= target + 1e-12]
        # If no non-mated score will do, the threshold lies just above the highest of them.
        expected = 1 - tmr[allowed[-1]] if allowed else 1 - tmr[thresholds > non_mated.max()].max()
        assert weighted_fnmr_at_fmr(mated, own, non_mated, other, target)[0] == pytest.approx(expected)


def test_a_draw_of_nobody_is_not_a_number():
    empty = weighted_fnmr_at_fmr(np.array([1.0]), np.array([[1], [0]]), np.array([0.0]), np.array([[0], [1]]), 0.1)
    assert np.isnan(empty).all()


def test_draws_are_paired_and_never_pair_a_subject_with_itself():
    owner = np.array([0, 0, 1, 1, 2, 2])
    trials = Trials(np.where(owner == np.arange(3)[:, None], 1.0, 0.0), owner)
    draws = resample(3, replicates=300)
    assert (draws.counts.sum(1) == 3).all()
    rates = draws.fnmr_at_fmr(trials, 0.0)
    alone = (draws.counts == 3).any(1)
    assert np.isnan(rates[alone]).all() and alone.any()
    assert (rates[~alone] == 0).all(), "mated scores of a subject drawn twice never count as non-mated"


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Paired differences of 20 subjects, a hundred times: the interval holds the true mean in most of them."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        sample = rng.normal(0.1, 0.2, 20)
        replicates = (resample(20, 400, seed=int(rng.integers(1 << 30))).counts @ sample) / 20
        low, high = ci95(replicates)
        covered += low <= 0.1 <= high
        assert minimum_detectable_effect(replicates) == pytest.approx(2.8 * 0.2 / np.sqrt(20), rel=0.6)
    assert 86 <= covered <= 100


def test_a_ratio_without_a_sure_denominator_has_no_interval():
    rng = np.random.default_rng(0)
    sure, unsure = rng.normal(1, 0.1, 500), rng.normal(0.1, 0.1, 500)
    assert ratio_ci95(sure / 2, sure) == pytest.approx((0.5, 0.5))
    assert ratio_ci95(sure, unsure) is None
    with pytest.raises(ValueError, match="at least 2"):
        resample(1)
    with pytest.raises(ValueError, match="no bootstrap replicate"):
        ci95(np.array([np.nan]))
