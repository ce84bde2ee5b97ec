"""Error rates against scikit-learn and at their limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from sdaug.evaluation.metrics import det_curve, fmr, fnmr, fnmr_at_fmr, threshold_at_fmr

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=30).map(np.array)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_det_curve_is_scikit_learns(mated, non_mated):
    truth = np.r_[np.ones(len(mated)), np.zeros(len(non_mated))]
    expected = sklearn_metrics.det_curve(truth, np.r_[mated, non_mated])
    ours = {t: (a, b) for a, b, t in zip(*det_curve(mated, non_mated), strict=True)}
    for false_match, false_non_match, threshold in zip(*expected, strict=True):
        if np.isfinite(threshold):
            assert ours[threshold] == pytest.approx((false_match, false_non_match))


@settings(deadline=None)
@given(SCORES, st.floats(0, 1))
def test_the_threshold_is_the_lowest_that_keeps_the_rate(non_mated, target):
    threshold = threshold_at_fmr(non_mated, target)
    assert fmr(non_mated, threshold) <= target
    lower = [score for score in np.unique(non_mated) if score < threshold]
    assert all(fmr(non_mated, score) > target for score in lower)


def test_limits():
    apart, mixed = (np.array([0.8, 0.9]), np.array([0.1, 0.2])), np.linspace(0, 1, 1001)
    assert fnmr_at_fmr(*apart, target=0.0) == 0.0
    assert fnmr_at_fmr(mixed, mixed, target=0.1) == pytest.approx(0.9, abs=2e-3)
    assert (fnmr(apart[0], 0.85), fmr(apart[1], 0.15)) == (0.5, 0.5)


@pytest.mark.parametrize("rate", [fmr, fnmr])
@pytest.mark.parametrize("scores", [[], [0.1, np.nan], [np.inf]])
def test_no_rate_of_nothing(rate, scores):
    with pytest.raises(ValueError, match="mated"):
        rate(np.array(scores), 0.5)


def test_a_target_that_is_no_rate_is_refused():
    with pytest.raises(ValueError, match="1.5"):
        threshold_at_fmr(np.array([0.1]), 1.5)
