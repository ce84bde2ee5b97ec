"""`bench warp`: every value kept, the peer draws the same head, ratios that mean what they say."""

import json
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdaug.bench.peer import facing_points, peer_view
from sdaug.experiment import load_experiment
from sdaug.measure.clock import Around, Ratio, Times, around_median, milliseconds, paired_ratio
from sdaug.sweep import groups
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import Pose


def test_the_peer_draws_what_we_draw(stage, astronaut_face):
    """Else its time would be of another job. It knows no hidden surfaces, so the middle of the face is compared."""
    pose = Pose(22, 0)
    target, source, triangles = facing_points(stage, astronaut_face.pose, pose)
    assert target.shape == source.shape and triangles > 900, "the face mesh alone has 900 triangles"
    view = turn(stage, pose)
    theirs = peer_view(stage, astronaut_face.pose, pose)()
    face = np.zeros((512, 512), np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(view.landmarks[:468, :2].astype(np.int32)), 1)
    face = cv2.erode(face, np.ones((41, 41), np.uint8)) > 0
    ours = cv2.GaussianBlur(view.image, (0, 0), 2)[face].astype(float)
    assert np.abs(ours - cv2.GaussianBlur(theirs, (0, 0), 2)[face] * 255).mean() < 6, "of 0..255"


def test_the_report(sdaug):
    done = sdaug("bench", "warp", "--rounds", 2, "--peer-rounds", 1, "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    for key, count in (("view_ms", 20), ("stage_ms", 2), ("ten_views", 2), ("peer_view_ms", 1), ("memcpy_ms", 20)):
        times = facts[key]
        assert times["n"] == len(times["values"]) == count and min(times["values"]) > 0
        assert times["p50"] == pytest.approx(np.median(times["values"])) and times["p50"] <= times["p90"]
    assert facts["ten_views_ms"] == facts["ten_views"]["p50"] > 5 * facts["view_ms"]["p50"]
    assert facts["ratio_to_peer"] == facts["intervals"]["ratio_to_peer"]["value"] > 50, "peer time / ours"
    assert facts["ratio_to_memcpy"] > 10, "ours / the copy's, which is the floor"
    interval = facts["intervals"]["ratio_to_memcpy"]
    assert interval["low"] <= facts["ratio_to_memcpy"] <= interval["high"] and interval["n"] == 20
    assert set(facts["view_ms_by_side_px"]) == {"256", "512", "1024"}
    assert facts["environment"]["cores"] >= 1 and facts["peer_points"] < facts["facing_triangles"]


@pytest.mark.parametrize("side", [256, 1024])
def test_a_view_of_another_size_shows_the_same(side, astronaut, astronaut_face, embedded, stage):
    """Else the cost of its pixels would be that of another picture."""
    view = turn(set_stage(astronaut, astronaut_face, embedded.mesh, side), Pose(22, 0)).image
    assert view.shape == (side, side, 3)
    usual = turn(stage, Pose(22, 0)).image.astype(float)
    same = cv2.resize(view, (512, 512), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(cv2.GaussianBlur(same, (0, 0), 3) - cv2.GaussianBlur(usual, (0, 0), 3))[100:420, 100:420].mean() < 6


def test_a_photo_without_a_face_is_refused(sdaug, tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((300, 300, 3), 120, np.uint8))
    done = sdaug("bench", "warp", "--photo", tmp_path / "grey.png", "--rounds", 1)
    assert done.code == 1 and "no_face" in done.err
    assert sdaug("bench", "warp", "--photo", tmp_path / "none.png").code == 2
    assert sdaug("bench", "warp", "--rounds", 0).code == 2


positive = st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.1, 100)), min_size=1, max_size=30)


@given(positive, st.floats(0.01, 100))
def test_a_ratio_lies_in_its_interval_and_scales(pairs, factor):
    above, below = [p[0] for p in pairs], [p[1] for p in pairs]
    ratio = paired_ratio(above, below)
    assert ratio.low <= ratio.value * (1 + 1e-9) and ratio.value <= ratio.high * (1 + 1e-9) and ratio.n == len(pairs)
    assert paired_ratio([a * factor for a in above], below).value == pytest.approx(ratio.value * factor)


def test_pairs_hide_what_slows_both():
    """A machine that is busy every other round: the ratio of the pairs does not see it, that of the medians would."""
    busy = np.array([1, 5, 1, 5, 1, 5, 1.0])
    ratio = paired_ratio(list(3 * busy), list(busy))
    assert (ratio.value, ratio.low, ratio.high) == (3, 3, 3)


def test_an_interval_holds_the_true_median_as_often_as_it_says():
    assert around_median([2.0]) == Around(2.0, 2.0, 0.0)
    assert 0.95 <= around_median([float(value) for value in range(2000)]).coverage < 0.96
    for n, coverage in ((2, 0.5), (3, 0.75), (5, 0.9375), (6, 0.96875)):
        assert around_median([float(value) for value in range(n)]) == Around(0.0, n - 1.0, coverage)
    rng = np.random.default_rng(0)
    for n in (3, 5, 7, 12, 30):
        found = [around_median(list(values)) for values in rng.exponential(1.0, (4000, n))]
        held = np.mean([one.low <= np.log(2) <= one.high for one in found])
        assert held == pytest.approx(found[0].coverage, abs=0.015) and (n < 6) == (found[0].coverage < 0.95), n
    with pytest.raises(ValueError, match="no value; expected at least one"):
        around_median([])
    assert paired_ratio([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]) == Ratio(2.0, 1.0, 3.0, 3, 0.75)


def test_times_keep_their_values():
    times = Times((3.0, 1.0, 2.0))
    assert times.facts() == {"p50": 2.0, "p90": pytest.approx(2.8), "n": 3, "values": [3.0, 1.0, 2.0]}
    with pytest.raises(ValueError, match="no call was timed"):
        Times(())
    with pytest.raises(ValueError):
        paired_ratio([1.0], [1.0, 2.0])
    assert 0 <= milliseconds(lambda: None) < 50


def test_a_sweeps_own_cost_is_measured_on_work_that_does_nothing(monkeypatch):
    """`sdaug sweep` itself is timed too, which here is asked for and not run: the demo's test does that."""
    from sdaug.bench import sweeping

    asked = []

    def sweep(folder):
        monkeypatch.chdir(folder)
        asked.append([len(group) for group in groups(load_experiment("x.yaml")[1])])
        time.sleep(0.2)

    monkeypatch.setattr(sweeping, "_sweep", sweep)
    facts = sweeping.bench_sweep(cells=8, kernels=2)
    assert asked == [[1, 1], [4, 4], [4, 4], [4, 4]]
    assert (facts["cells"], facts["kernels"], facts["validated"]) == (8, 2, 10_000)
    assert facts["validating_s"] > 0 and facts["again_s"] > 0 and facts["whole_again_s"] >= 0.2
    assert np.isfinite([value for name, value in facts.items() if "overhead" in name]).all()
    assert facts["in_time"]["validating_s"] == (facts["validating_s"] <= 2) and len(facts["in_time"]) == 5
