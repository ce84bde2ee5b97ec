"""The gate refuses for every reason there is, names all of them, and only for them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdaug.bands import Band
from sdaug.config import GateSettings
from sdaug.face.photo import photo_from_array
from sdaug.gate import Gate, load_measures, open_gate, overall, pose_refusal
from sdaug.plugins import PluginError
from sdaug.quality import AbstractQualityMeasure
from sdaug.quality.blur import INHERITED_LOSS, Blur
from sdaug.quality.single_face_present import SingleFacePresent
from sdaug.types import AngleResult, Face, Pose, QualityScore, Reason

SOURCE = np.array([1.0, 0.0], np.float32)
IMAGE = np.full((512, 512, 3), 120, np.uint8)
FIVE = np.array([(180, 180), (260, 180), (220, 220), (190, 260), (250, 260)], np.float32)
FACE = Face((100, 100, 300, 300), 0.9, FIVE, None, Pose(40, 3, 25))
BAND = Band(((0, 0.6, 1.01), (50, 0.3, 0.7)), ((0, 0.6, 1.01), (30, 0.4, 0.8)), near_duplicate=0.97, same_person=0.8)
NOT_EVALUATED = ("similarity_band.own", "cohort", "near_duplicate.own")


class FakeRecogniser:
    """Every image has one given vector, (similarity to the source, something); the rest is like ArcFace."""

    sha256 = "nobody measured this one"
    dim = 2

    def __init__(self, name: str, value: float):
        self.name, self.value = name, value

    def embed(self, image, face):
        return np.array([self.value, np.sqrt(1 - self.value**2)], np.float32)

    def similarity(self, a, b):
        return float(np.dot(a, b))


class FakeMeasure(AbstractQualityMeasure):
    raw: float

    def measure(self, image, face, others=()):
        return QualityScore(self.raw, self.raw)

    def refusal(self, raw):
        return None if raw > 0.7 else Reason.BLURRED


def gate(*found: Face, similarity: float = 0.5, sharpness: float = 0.9, band=None, cohort=(), **settings) -> Gate:
    recognisers = (FakeRecogniser("own", similarity), FakeRecogniser("held_out", -1.0))
    pack = SimpleNamespace(faces=lambda image: list(found), recognisers=recognisers)
    chosen = GateSettings.model_validate({"min_similarity": {"own": 0.25}} | settings)
    reference = {"own": SOURCE, "held_out": SOURCE}
    others = {"own": np.array(cohort, np.float32)} if len(cohort) else {}
    measures = {"sharpness": FakeMeasure(raw=sharpness)}
    return Gate(pack, chosen, measures, {"also": FakeMeasure(raw=0.1)}, reference, Pose(0, 0), band, cohort=others)


def test_a_good_image_is_accepted_and_everything_measured_is_told():
    judgement = gate(FACE).judge(IMAGE, Pose(45, 0))
    assert judgement.accepted and judgement.reasons == ()
    assert judgement.measured == FACE.pose
    assert judgement.similarity == {"own": 0.5, "held_out": -1.0} and list(judgement.similarity)[0] == "own"
    assert judgement.quality == {"sharpness": QualityScore(0.9, 0.9), "also": QualityScore(0.1, 0.1)}
    assert judgement.not_evaluated == NOT_EVALUATED
    assert judgement.checks == {
        "pose_error_deg": 5.0, "band_low": None, "band_high": None, "cohort_best": None, "copy_best": 0.5,
    }  # fmt: skip


def blur(raw: float) -> QualityScore:
    """The score of an image with this raw value."""
    return QualityScore(raw, 1 - raw)


@pytest.mark.parametrize(
    ("source", "view", "reason"),
    [
        (0.6, 0.6, None),
        (0.6, 0.6 + INHERITED_LOSS - 0.001, None),
        (0.6, 0.6 + INHERITED_LOSS + 0.001, Reason.BLURRED),
        (0.79, 0.81, Reason.BLURRED),
        (0.05, 0.31, Reason.BLURRED),
        (None, 0.6, Reason.BLURRED),
        (0.05, 0.29, None),
    ],
)
def test_a_view_may_be_as_blurred_as_its_photo_but_no_more_and_not_hopeless(source, view, reason):
    assert Blur().fault(blur(view), None if source is None else blur(source)) is reason


def test_other_measures_do_not_ask_what_the_photo_was_like():
    assert FakeMeasure(raw=0).fault(QualityScore(0.1, 0.1), QualityScore(0.1, 0.1)) is Reason.BLURRED


def test_no_face_is_no_measurement():
    judgement = gate().judge(IMAGE, Pose(0, 0))
    assert not judgement.accepted and judgement.reasons == (Reason.FACE_NOT_FOUND,)
    assert (judgement.measured, judgement.similarity, judgement.quality) == (None, {}, {})


@pytest.mark.parametrize(
    ("changes", "pose", "reason"),
    [
        ({"similarity": 0.2}, Pose(40, 0), Reason.LOW_SIMILARITY),
        ({"sharpness": 0.1}, Pose(40, 0), Reason.BLURRED),
        ({}, Pose(0, 0), Reason.POSE_ERROR),
        ({}, Pose(40, 30), Reason.POSE_ERROR),
        ({}, Pose(-40, 0), Reason.POSE_ERROR),
    ],
)
def test_each_fault_is_its_own_reason(changes, pose, reason):
    judgement = gate(FACE, **changes).judge(IMAGE, pose)
    assert not judgement.accepted and judgement.reasons == (reason,)


def test_all_reasons_are_given_once():
    judgement = gate(replace(FACE, pose=None), similarity=-1.0, sharpness=0.0, min_similarity={"own": 0, "held_out": 0})
    reasons = judgement.judge(IMAGE, Pose(0, 0)).reasons
    assert set(reasons) == {Reason.BLURRED, Reason.POSE_UNREADABLE, Reason.LOW_SIMILARITY} and len(reasons) == 3


def test_the_largest_face_is_the_one_judged():
    small = replace(FACE, box=(0, 0, 50, 50), pose=Pose(-40, 0), confidence=0.99)
    assert gate(small, FACE).judge(IMAGE, Pose(40, 0)).measured == FACE.pose


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (Pose(15, -15, 90), None),
        (Pose(-15, 15), None),
        (Pose(15.01, 0), Reason.POSE_ERROR),
        (Pose(0, -15.01), Reason.POSE_ERROR),
        (None, Reason.POSE_UNREADABLE),
    ],
)
def test_the_pose_may_be_off_by_the_limit_and_no_more_and_roll_is_free(measured, reason):
    assert pose_refusal(measured, Pose(0, 0), 15.0) is reason


def test_similarity_at_its_threshold_is_enough():
    assert gate(FACE, similarity=0.25).judge(IMAGE, Pose(40, 0)).accepted
    assert not gate(FACE, similarity=0.2499).judge(IMAGE, Pose(40, 0)).accepted


# -- the person


def test_the_band_is_that_of_the_turn_from_the_source_to_the_pose_asked_for():
    def reasons(similarity: float, **changes) -> tuple[Reason, ...]:
        judged = replace(gate(FACE, similarity=similarity, band=BAND), **changes).judge(IMAGE, Pose(40, 0))
        assert "similarity_band.own" not in judged.not_evaluated
        return judged.reasons

    assert reasons(0.5) == () and reasons(0.35) == (Reason.LOW_SIMILARITY,) and reasons(0.8) == (Reason.TOO_SIMILAR,)
    # from a source that is turned itself: no copy of it, and no more lenient than from a frontal one
    assert reasons(0.8, source_pose=Pose(20, 0)) == () and reasons(0.9, source_pose=Pose(20, 0)) != ()
    assert reasons(0.37, source_pose=Pose(20, 0)) == () and reasons(0.35, source_pose=Pose(20, 0)) != ()
    assert reasons(0.37, source_pose=Pose(-10, 0)) == () and reasons(0.29, source_pose=Pose(-10, 0)) != ()


def test_the_floor_holds_below_the_band():
    assert gate(FACE, similarity=0.45, band=BAND, min_similarity={"own": 0.5}).judge(IMAGE, Pose(40, 0)).reasons == (
        Reason.LOW_SIMILARITY,
    )
    nothing = gate(FACE, similarity=-1.0, min_similarity={}).judge(IMAGE, Pose(40, 0))
    assert nothing.accepted and nothing.not_evaluated == ("similarity.own", *NOT_EVALUATED)


@given(st.floats(-90, 90), st.floats(-60, 60), st.floats(0, 20), st.floats(0, 20))
def test_a_larger_turn_never_raises_the_band_and_mirrored_turns_have_the_same(yaw, pitch, more_yaw, more_pitch):
    low, high = BAND.at(Pose(yaw, pitch))
    further = BAND.at(Pose(yaw + np.copysign(more_yaw, yaw), pitch + np.copysign(more_pitch, pitch)))
    assert 0.3 <= further[0] <= low + 1e-12 and 0.7 <= further[1] <= high + 1e-12 and low < high
    assert BAND.at(Pose(-yaw, -pitch)) == (low, high)


@pytest.mark.parametrize(("other", "accepted"), [([0.5, 0.8], False), ([0.0, 1.0], False), ([0.4, 0.1], True)])
def test_a_view_must_be_closer_to_its_source_than_to_anyone_in_the_cohort(other, accepted):
    judgement = gate(FACE, cohort=[[0.0, 0.1], other]).judge(IMAGE, Pose(40, 0))
    assert judgement.accepted == accepted and "cohort" not in judgement.not_evaluated
    assert judgement.reasons == (() if accepted else (Reason.CLOSER_TO_ANOTHER,))
    assert judgement.checks["cohort_best"] == pytest.approx(
        max(0.087, other[0] * 0.5 + other[1] * np.sqrt(0.75)), abs=1e-3
    )


def test_a_copy_of_the_source_offered_as_turned_is_a_near_duplicate():
    near = replace(BAND, yaw=((0, 0.6, 1.01),), pitch=((0, 0.6, 1.01),))
    copy = gate(FACE, similarity=0.98, band=near, max_pose_error_deg=50)
    assert copy.judge(IMAGE, Pose(10, 0)).reasons == (Reason.NEAR_DUPLICATE,)
    assert copy.judge(IMAGE, Pose(9.9, -9.9)).accepted, "a frontal view of a frontal photo is no offence"
    turned = replace(copy, source_pose=Pose(40, 0))
    assert turned.judge(IMAGE, Pose(45, 5)).accepted and not turned.judge(IMAGE, Pose(0, 0)).accepted


def test_a_copy_of_an_accepted_image_offered_at_another_pose_is_a_near_duplicate():
    opened = gate(FACE, similarity=0.5, band=BAND, max_pose_error_deg=50)
    judgement = opened.judge(IMAGE, Pose(40, 0))
    first = AngleResult(1, Pose(40, 0), IMAGE, "warp", judgement, 0.1)
    knowing = opened.including(first)
    assert knowing.judge(IMAGE, Pose(40, 12)).reasons == (Reason.NEAR_DUPLICATE,)
    assert knowing.judge(IMAGE, Pose(40, 12)).checks["copy_best"] == pytest.approx(1)
    assert knowing.judge(IMAGE, Pose(35, 5)).accepted
    assert opened.including(replace(first, image=None)) is opened, "a refused image is no reference"


# -- the rules


def test_each_record_says_what_either_rule_would_do():
    sure = gate(FACE, similarity=0.81, band=BAND).judge(IMAGE, Pose(40, 0))
    assert sure.reasons == (Reason.TOO_SIMILAR,) == sure.by_rule["sdaug"]
    assert sure.by_rule["mission"] == (Reason.BLURRED,), "the grey test image shows nothing"
    mission = gate(FACE, similarity=0.5, rule="mission").judge(IMAGE, Pose(40, 0))
    assert mission.reasons == (Reason.BLURRED, Reason.LOW_SIMILARITY) and mission.by_rule["sdaug"] == ()
    assert not mission.accepted


def test_the_missions_rule_asks_for_no_pose():
    textured = np.random.default_rng(0).integers(60, 180, IMAGE.shape, np.uint8)
    opened = gate(FACE, similarity=0.81, rule="mission", max_pose_error_deg=1)
    judgement = opened.judge(textured, Pose(-45, 0))
    assert judgement.accepted and judgement.by_rule == {"mission": (), "sdaug": (Reason.POSE_ERROR,)}
    assert replace(opened, pack=gate(FACE, similarity=0.79).pack).judge(textured, Pose(0, 0)).by_rule["mission"] != ()


def test_overall_is_the_weakest_measure():
    assert overall({"a": QualityScore(5, 0.9), "b": QualityScore(1, 0.4)}) == 0.4


def test_a_misspelt_measure_or_option_names_the_right_one():
    with pytest.raises(PluginError, match="unknown quality measure 'blurr'; did you mean 'blur'"):
        load_measures({"blurr": {}})
    with pytest.raises(PluginError, match="unknown option 'bellow'; did you mean 'below'"):
        load_measures({"blur": {"bellow": 0.3}})
    assert load_measures({"blur": {"below": 0.5}})["blur"].below == 0.5


def test_the_source_passes_its_own_gate_and_a_blurred_or_dark_copy_does_not(embedded, views):
    """Real pack, real measures: the frontal view as source, asked for at its own pose."""
    import cv2

    image = views[0].image
    (face,) = embedded.faces(image)
    opened = open_gate(embedded, GateSettings(), image, face)
    judgement = opened.judge(image, face.pose)
    assert judgement.accepted and judgement.similarity["dlib_resnet"] == pytest.approx(1, abs=1e-6)
    assert judgement.not_evaluated == ("cohort",)
    assert Reason.BLURRED in opened.judge(cv2.GaussianBlur(image, (0, 0), 7), face.pose).reasons
    assert Reason.TOO_DARK in opened.judge((image * 0.25).astype(np.uint8), face.pose).reasons
    assert Reason.IMAGE_TOO_SMALL in opened.judge(cv2.resize(image, (300, 300)), face.pose).reasons
    assert Reason.POSE_ERROR in opened.judge(views[1].image, face.pose).reasons
    mirrored = photo_from_array(np.ascontiguousarray(views[1].image[:, ::-1]))
    assert Reason.POSE_ERROR in opened.judge(mirrored.pixels, views[1].pose).reasons


def test_a_stranger_is_refused(arcface, astronaut, faces):
    from sdaug.face.photo import read_photo

    face = arcface.faces(astronaut.pixels)[0]
    opened = open_gate(arcface, GateSettings(min_similarity={"arcface": 0.3}), astronaut.pixels, face)
    stranger = read_photo(faces / "london" / "001_neutral.jpg").pixels
    judgement = opened.judge(stranger, Pose(0, 0))
    assert Reason.LOW_SIMILARITY in judgement.reasons
    assert list(judgement.similarity) == ["arcface", "dlib_resnet"]
    assert judgement.not_evaluated == ("cohort",)
    without = open_gate(arcface, GateSettings(min_similarity={"dlib_resnet": 0.9}), astronaut.pixels, face)
    unjudged = without.judge(stranger, Pose(0, 0))
    assert unjudged.not_evaluated == ("similarity.arcface", "cohort")
    assert Reason.LOW_SIMILARITY in unjudged.reasons, "the band refuses where no floor is set"


def test_a_second_person_in_the_image_is_seen():
    """A view of a photo with two people may show the other one too; a doubtful detection is nobody."""
    other = replace(FACE, box=(300, 100, 500, 280))
    alone, doubtful = gate(FACE), gate(FACE, replace(other, confidence=0.6))
    measures = {"single_face_present": SingleFacePresent()}
    for opened, reasons in ((alone, ()), (gate(FACE, other), (Reason.SECOND_FACE,)), (doubtful, ())):
        assert replace(opened, measures=measures).judge(IMAGE, Pose(40, 0)).reasons == reasons


def test_a_turned_source_gets_the_lower_bound_of_the_pose_not_of_the_turn():
    """From 30 to 50 degrees is a turn of 20, but it ends in the same profile as a turn from the front."""
    turned = replace(gate(FACE, band=BAND), source_pose=Pose(30, 0))
    figures = turned.judge(IMAGE, Pose(50, 0)).checks
    assert figures["band_low"] == pytest.approx(0.3)
    assert figures["band_high"] == pytest.approx(1.01 - 0.31 * 20 / 50)
