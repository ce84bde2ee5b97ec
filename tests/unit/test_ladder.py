"""Every step of the ladder, with a gate and a generator that do as they are told."""

import logging
import time
from types import SimpleNamespace

import numpy as np
import pytest

from sdaug.ladder import REDUCED, Diffused, GenerationFailed, climb_down
from sdaug.types import Judgement, Pose, Reason, View

POSE = Pose(45, 0)
WARP, FULL, LESS, RAW = 1, 2, 3, 4
"""What each fake image is filled with."""


def picture(value: int) -> np.ndarray:
    return np.full((16, 16, 3), value, np.uint8)


VIEW = View(
    POSE,
    picture(WARP),
    np.ones((16, 16), np.float32),
    np.zeros((16, 16), bool),
    np.random.default_rng(0).normal(size=(478, 3)).astype(np.float32) * 50 + 100,
)


class FakeGate:
    """Refuses the images whose value it was given a reason for; similarity is the image's value / 10."""

    def __init__(self, **refused):
        self.refused = {WARP: refused.get("warp"), FULL: refused.get("full"), LESS: refused.get("less"), RAW: None}

    def judge(self, image, requested):
        assert requested == POSE
        reasons = self.refused[int(image[0, 0, 0])] or ()
        return Judgement(not reasons, tuple(reasons), None, {"own": 0.1}, {})

    def similarity(self, image, face):
        assert face.landmarks is VIEW.landmarks, "the raw similarity is taken at the requested landmarks"
        return {"own": image[0, 0, 0] / 10}


class FakeDiffusion:
    """Two images, for the full strength and for a share of it; an exception among them is raised."""

    def __init__(self, full=FULL, less=LESS, **details):
        self.images, self.asked, self.details = {1.0: full, REDUCED: less}, [], details

    def __call__(self, index, share):
        self.asked.append((index, share))
        made = self.images[share]
        if isinstance(made, Exception):
            raise made
        return Diffused(picture(made), picture(RAW), **self.details)


def climb(gate: FakeGate, diffuse=None, unavailable=(), **options):
    result = climb_down(3, VIEW, gate, diffuse, unavailable, time.perf_counter(), **options)
    assert result.index == 3 and result.requested == POSE and result.latency_s > 0
    assert result.accepted == (result.image is not None) == (result.rung != "refused") == result.judgement.accepted
    return SimpleNamespace(
        rung=result.rung,
        value=None if result.image is None else int(result.image[0, 0, 0]),
        degraded=result.degraded,
        reasons=result.judgement.reasons,
        raw=result.raw,
    )


BLUR, POSE_ERROR, ALIEN = (Reason.BLURRED,), (Reason.POSE_ERROR,), (Reason.LOW_SIMILARITY,)


def test_accepted_diffusion_is_kept_and_nothing_else_is_tried():
    diffuse = FakeDiffusion()
    result = climb(FakeGate(), diffuse)
    assert (result.rung, result.value, result.degraded, result.reasons) == ("diffusion", FULL, (), ())
    assert diffuse.asked == [(3, 1.0)]
    assert result.raw.judgement.accepted and result.raw.similarity == {"own": RAW / 10}


def test_refused_diffusion_is_tried_again_with_less_strength():
    diffuse = FakeDiffusion()
    result = climb(FakeGate(full=BLUR + ALIEN), diffuse)
    assert (result.rung, result.value, result.degraded) == ("diffusion_reduced", LESS, BLUR + ALIEN)
    assert diffuse.asked == [(3, 1.0), (3, REDUCED)] and 0 < REDUCED < 1


def test_diffusion_refused_twice_is_answered_by_the_warp():
    result = climb(FakeGate(full=BLUR, less=POSE_ERROR), FakeDiffusion())
    assert (result.rung, result.value, result.degraded, result.reasons) == ("warp", WARP, BLUR + POSE_ERROR, ())


def test_a_refused_warp_is_a_refusal_with_its_own_reasons():
    result = climb(FakeGate(full=BLUR, less=POSE_ERROR, warp=ALIEN), FakeDiffusion())
    assert (result.rung, result.value, result.degraded) == ("refused", None, BLUR + POSE_ERROR)
    assert result.reasons == ALIEN
    alone = climb(FakeGate(warp=ALIEN + BLUR))
    assert (alone.rung, alone.value, alone.degraded, alone.reasons) == ("refused", None, (), ALIEN + BLUR)


@pytest.mark.parametrize("reason", [Reason.OUT_OF_MEMORY, Reason.NOT_FINITE])
def test_failed_diffusion_is_answered_by_the_warp_at_once(reason, caplog):
    diffuse = FakeDiffusion(full=GenerationFailed(reason, "why"))
    with caplog.at_level(logging.INFO, "sdaug"):
        result = climb(FakeGate(), diffuse)
    assert (result.rung, result.value, result.degraded, result.raw) == ("warp", WARP, (reason,), None)
    assert [r.message for r in caplog.records] == ["angle 3: diffusion failed: why"]


def test_the_reasons_stand_in_the_order_in_which_rungs_were_left():
    failed = FakeDiffusion(less=GenerationFailed(Reason.OUT_OF_MEMORY, "why"))
    result = climb(FakeGate(full=BLUR), failed, (Reason.NO_GPU,))
    assert (result.rung, result.degraded) == ("warp", (Reason.NO_GPU, Reason.BLURRED, Reason.OUT_OF_MEMORY))
    repeated = climb(FakeGate(full=BLUR, less=BLUR), FakeDiffusion())
    assert repeated.degraded == BLUR


def test_raw_is_the_first_diffusion_image_as_it_came_whatever_is_kept():
    for gate, kept in ((FakeGate(full=BLUR), LESS), (FakeGate(full=BLUR, less=BLUR), WARP)):
        result = climb(gate, FakeDiffusion())
        assert result.value == kept
        assert (result.raw.image == RAW).all() and result.raw.similarity == {"own": RAW / 10}


def test_what_random_weights_make_is_recorded_and_never_kept():
    diffuse = FakeDiffusion()
    result = climb(FakeGate(), diffuse, untrained=True)
    assert (result.rung, result.value, result.degraded) == ("warp", WARP, (Reason.RANDOM_WEIGHTS,))
    assert diffuse.asked == [(3, 1.0)] and (result.raw.image == RAW).all()


def test_an_image_made_with_less_memory_is_reduced_and_says_why():
    result = climb(FakeGate(), FakeDiffusion(steps=(Reason.OUT_OF_MEMORY,)))
    assert (result.rung, result.value, result.degraded) == ("diffusion_reduced", FULL, (Reason.OUT_OF_MEMORY,))


def test_an_angles_latency_is_its_own_share_of_its_batch():
    started = time.perf_counter()
    batch = FakeDiffusion(waited_s=50.0, share_s=10.0)
    result = climb_down(3, VIEW, FakeGate(), batch, (), started - 50.0)
    assert 10 <= result.latency_s < 11


def test_without_diffusion_the_warp_is_the_answer_and_says_why():
    result = climb(FakeGate(), None, (Reason.WEIGHTS_MISSING,))
    assert (result.rung, result.degraded, result.raw) == ("warp", (Reason.WEIGHTS_MISSING,), None)
    asked = climb(FakeGate())
    assert (asked.rung, asked.degraded, asked.raw) == ("warp", (), None)


def test_another_error_is_not_hidden():
    with pytest.raises(RuntimeError, match="a bug"):
        climb(FakeGate(), FakeDiffusion(full=RuntimeError("a bug")))


def test_strict_takes_no_other_rung():
    refuse = FakeDiffusion()
    result = climb_down(3, VIEW, FakeGate(full=[Reason.BLURRED]), refuse, (), time.perf_counter(), strict=True)
    assert (result.rung, result.image, refuse.asked) == ("refused", None, [(3, 1.0)])
    assert result.judgement.reasons == (Reason.BLURRED,) and result.raw is not None
    broken = FakeDiffusion(full=GenerationFailed(Reason.NOT_FINITE, "NaN"))
    with pytest.raises(GenerationFailed):
        climb_down(3, VIEW, FakeGate(), broken, (), time.perf_counter(), strict=True)
    assert climb_down(3, VIEW, FakeGate(), FakeDiffusion(), (), time.perf_counter(), strict=True).rung == "diffusion"
