"""The gate refuses for every reason there is, names all of them, and only for them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sdaug.config import GateSettings
from sdaug.face.photo import photo_from_array
from sdaug.gate import Gate, load_measures, open_gate, overall, pose_refusal
from sdaug.plugins import PluginError
from sdaug.types import Face, Pose, QualityScore, Reason

SOURCE = np.array([1.0, 0.0], np.float32)
IMAGE = np.full((512, 512, 3), 120, np.uint8)
FACE = Face((100, 100, 300, 300), 0.9, np.zeros((5, 2), np.float32), None, Pose(40, 3, 25))


class FakeRecogniser:
    """Its vectors are given; similarity is their first number."""

    def __init__(self, name: str, value: float):
        self.name, self.value = name, value

    def embed(self, image, face):
        return np.array([self.value, 0], np.float32)

    def similarity(self, a, b):
        assert a is SOURCE, "the source is the reference, whichever way a recogniser compares"
        return float(b[0])


class FakeMeasure:
    def __init__(self, raw: float):
        self.raw = raw

    def measure(self, image, face):
        return QualityScore(self.raw, self.raw)

    def refusal(self, raw):
        return None if raw > 0.7 else Reason.BLURRED


def gate(*found: Face, similarity: float = 0.5, sharpness: float = 0.9, **settings) -> Gate:
    recognisers = (FakeRecogniser("own", similarity), FakeRecogniser("held_out", -1.0))
    pack = SimpleNamespace(faces=lambda image: list(found), recognisers=recognisers)
    chosen = GateSettings.model_validate({"min_similarity": {"own": 0.25}} | settings)
    return Gate(pack, chosen, {"sharpness": FakeMeasure(sharpness)}, {"own": SOURCE, "held_out": SOURCE})


def test_a_good_image_is_accepted_and_everything_measured_is_told():
    judgement = gate(FACE).judge(IMAGE, Pose(45, 0))
    assert judgement.accepted and judgement.reasons == ()
    assert judgement.measured == FACE.pose
    assert judgement.similarity == {"own": 0.5, "held_out": -1.0} and list(judgement.similarity)[0] == "own"
    assert judgement.quality == {"sharpness": QualityScore(0.9, 0.9)}
    assert judgement.not_evaluated == (), "the held-out recogniser reports, it does not judge"


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


def test_overall_is_the_weakest_measure():
    assert overall({"a": QualityScore(5, 0.9), "b": QualityScore(1, 0.4)}) == 0.4


def test_a_misspelt_measure_or_option_names_the_right_one():
    with pytest.raises(PluginError, match="unknown quality measure 'blurr'; did you mean 'blur'"):
        load_measures(GateSettings(measures={"blurr": {}}))
    with pytest.raises(PluginError, match="unknown option 'bellow'; did you mean 'below'"):
        load_measures(GateSettings(measures={"blur": {"bellow": 0.3}}))
    assert load_measures(GateSettings(measures={"blur": {"below": 0.5}}))["blur"].below == 0.5


def test_the_source_passes_its_own_gate_and_a_blurred_or_dark_copy_does_not(embedded, views):
    """Real pack, real measures: the frontal view as source, asked for at its own pose."""
    import cv2

    image = views[0].image
    (face,) = embedded.faces(image)
    opened = open_gate(embedded, GateSettings(), image, face)
    judgement = opened.judge(image, face.pose)
    assert judgement.accepted and judgement.similarity["dlib_resnet"] == pytest.approx(1, abs=1e-6)
    assert judgement.not_evaluated == ()
    assert opened.judge(cv2.GaussianBlur(image, (0, 0), 7), face.pose).reasons == (Reason.BLURRED,)
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
    assert judgement.not_evaluated == ()
    without = open_gate(arcface, GateSettings(min_similarity={"dlib_resnet": 0.9}), astronaut.pixels, face)
    unjudged = without.judge(stranger, Pose(0, 0))
    assert unjudged.not_evaluated == ("similarity.arcface",) and Reason.LOW_SIMILARITY not in unjudged.reasons
