"""Error versus discard: by brute force, and on measures that know everything, nothing, or the opposite."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from sdaug.evaluation.discard import asked, chart, error_versus_discard, qualities


def brute_force(quality, wrong):
    """(discarded, errors) after refusing all images below each quality that occurs."""
    points = []
    for threshold in sorted(set(quality)):
        left = [bad for value, bad in zip(quality, wrong, strict=True) if value >= threshold]
        points.append((1 - len(left) / len(quality), sum(left) / len(left)))
    return points


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_curve_is_what_refusing_at_each_threshold_leaves(levels):
    generator = np.random.default_rng(levels)
    quality, wrong = generator.integers(levels, size=200) / levels, generator.random(200) < 0.3
    curve = error_versus_discard(quality, wrong)
    assert np.column_stack([curve.discarded, curve.errors]) == pytest.approx(np.array(brute_force(quality, wrong)))
    assert curve.thresholds.tolist() == sorted(set(quality))


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_errors_left_are_scikit_learns_precision(levels):
    """Of the images at or above a quality, the share that is wrong is the precision of calling them wrong."""
    generator = np.random.default_rng(levels + 1)
    quality, wrong = generator.integers(levels, size=200) / levels, generator.random(200) < 0.3
    precision, _, thresholds = precision_recall_curve(wrong, quality)
    curve = error_versus_discard(quality, wrong)
    at = np.searchsorted(curve.thresholds, thresholds)
    assert len(thresholds) > 2 and curve.errors[at] == pytest.approx(precision[:-1])


def test_a_measure_that_knows_is_better_than_one_that_does_not_and_that_than_one_that_lies():
    generator = np.random.default_rng(0)
    wrong = generator.random(1000) < 0.2
    noise = generator.random(1000)
    knows, blind, lies = 0.1 * noise - wrong, noise, 0.1 * noise + wrong
    areas = [error_versus_discard(quality, wrong).area for quality in (knows, blind, lies)]
    assert areas[0] < 0.1 and areas[1] == pytest.approx(0.2, abs=0.02) and areas[2] > 0.2


@pytest.mark.parametrize(
    ("quality", "wrong", "message"),
    [([], [], "at least 1"), ([1.0], [True, False], "one length"), ([np.nan], [True], "not finite")],
)
def test_what_gives_no_curve_is_refused(quality, wrong, message):
    with pytest.raises(ValueError, match=message):
        error_versus_discard(np.array(quality), np.array(wrong, bool))


def test_of_a_sweep_every_raw_image_with_a_face_counts_once():
    def angle(scalar, similarity, face=True):
        judged = {"quality": {"blur": {"scalar": scalar}}, "similarity": {"own": similarity} if face else {}}
        return judged | {"raw": judged}

    angles = [angle(0.9, 0.5), angle(0.2, -0.1), angle(0.5, 0.0, face=False), {"raw": None}]
    cells = [
        {"status": "finished", "settings": {"backend": "diffusion"}, "record": {"angles": angles}},
        {"status": "failed"},
    ]
    (name, (quality, wrong)), *more = qualities(cells, "own", 0.0).items()
    assert (name, quality.tolist(), wrong.tolist(), more) == ("blur", [0.9, 0.2], [False, True], [])
    assert len(chart({"blur": error_versus_discard(quality, wrong)}).axes[0].lines) == 1


def test_what_is_asked_for_refuses_no_more_than_one_is_ready_to():
    quality, wrong = np.arange(10) / 10, np.arange(10) < 3
    curves = {"blind": error_versus_discard(quality[::-1], wrong), "knows": error_versus_discard(quality, wrong)}
    rows = asked(curves, refuse=0.25)
    assert list(rows) == ["knows", "blind"]
    assert rows["knows"] == {
        "ask for at least": 0.2, "refused": 0.2, "errors before": 0.3, "errors after": pytest.approx(1 / 8),
    }  # fmt: skip
    assert asked(curves, refuse=0.0)["knows"]["refused"] == 0


def test_where_there_is_no_error_the_chart_says_so_and_draws_none():
    figure = chart({"blur": error_versus_discard(np.array([0.1, 0.9]), np.array([False, False]))})
    assert not figure.axes[0].lines and "no error" in figure.axes[0].texts[0].get_text()
