"""Reading a head's pose: two estimators that know nothing of each other, and how far each is off."""

import importlib.util
import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sdaug.evaluation.second_pose import eye_corners, second_kind, second_pose
from sdaug.face.photo import read_photo
from sdaug.face.pnp import AVERAGE_HEAD, CAMERA_MM, point_pose, raw_point_pose
from sdaug.face.pose import calibrated, calibration, estimate_pose, features, raw_pose, reference_shape
from sdaug.face.reading import PROFILE_DEG, read_pose
from sdaug.face.rotation import rotation
from sdaug.types import Pose

KINDS = ("landmarks", "five_points", "eye_corners")
turns = st.builds(Pose, st.floats(-60, 60), st.floats(-35, 35), st.floats(-30, 30))


def photographed(kind: str, pose: Pose, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """The average head's five points as a camera at the assumed distance sees them."""
    head = AVERAGE_HEAD[kind] - AVERAGE_HEAD[kind].mean(0)
    turned = head @ rotation(pose).T
    return turned[:, :2] * CAMERA_MM / (CAMERA_MM + turned[:, 2:]) * scale + shift


@hypothesis_settings(deadline=None, max_examples=40)
@given(turns, st.floats(0.05, 20), st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_five_points_of_the_average_head_give_its_pose(pose, scale, shift):
    """Up to the pull towards frontal, a degree in fifteen, which the calibration takes back."""
    found = raw_point_pose(photographed("five_points", pose, scale, shift), "five_points")
    turned = max(abs(pose.yaw_deg), abs(pose.pitch_deg))
    assert abs(found.yaw_deg - pose.yaw_deg) < 0.1 + turned / 15 and abs(found.roll_deg - pose.roll_deg) < 1.5
    assert abs(found.pitch_deg - pose.pitch_deg) < 0.1 + turned / 15


@pytest.mark.parametrize("pitch", range(-30, 21, 5))
def test_a_smile_is_no_nod(pitch):
    """It lifts the corners of the mouth by some 5 mm and parts them: the reading moves, but does not flip."""
    points = photographed("five_points", Pose(0, pitch), 1, (0, 0))
    smiling = points + [(0, 0), (0, 0), (0, 0), (-3, -5), (3, -5)]
    assert abs(point_pose(smiling).pitch_deg - point_pose(points).pitch_deg) < 6


@hypothesis_settings(deadline=None, max_examples=40)
@given(st.integers(0, 9999), turns)
def test_mirrored_points_give_the_mirrored_pose(seed, pose):
    """Not only of the average head: points are moved by a few per cent of the head."""
    points = photographed("five_points", pose, 1, (0, 0)) + np.random.default_rng(seed).normal(0, 2, (5, 2))
    other = (points * [-1, 1])[[1, 0, 2, 4, 3]]
    found, mirror = point_pose(points), point_pose(other)
    assert mirror.yaw_deg == pytest.approx(-found.yaw_deg, abs=0.1)
    assert mirror.pitch_deg == pytest.approx(found.pitch_deg, abs=0.1)
    assert mirror.roll_deg == pytest.approx(-found.roll_deg, abs=0.1)


def test_five_points_in_one_place_have_no_pose(embedded, astronaut, astronaut_face):
    with pytest.raises(ValueError, match="the five points are one point"):
        point_pose(np.full((5, 2), 3.0))
    assert second_pose(astronaut.pixels, None, embedded) is None


@given(turns)
def test_the_landmark_reading_of_the_mean_face_is_its_rotation(pose):
    found = raw_pose(reference_shape() @ rotation(pose).T * 80 + 200)
    assert np.allclose(
        [found.yaw_deg, found.pitch_deg, found.roll_deg], [pose.yaw_deg, pose.pitch_deg, pose.roll_deg], atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_calibration_rises_with_the_raw_angle(kind):
    """A gate compares angles: more turning must never read as less within what is calibrated."""
    for fixed in (-30.0, 0.0, 30.0):
        yaws = [calibrated(Pose(y, fixed), kind).yaw_deg for y in range(-55, 56, 5)]
        pitches = [calibrated(Pose(fixed, p), kind).pitch_deg for p in range(-40, 41, 5)]
        assert (np.diff(yaws) > 0).all() and (np.diff(pitches) > 0).all()
    assert calibrated(Pose(0, 10), kind).yaw_deg == 0, "a frontal head has no side"


def test_the_first_estimator_meets_its_bound_on_views_it_was_not_calibrated_with():
    """Written by scripts/calibrate_pose.py, which leaves each view out in turn; the next test measures some again."""
    for protocol in ("error_deg_view_left_out", "error_deg_yaw_column_left_out"):
        errors = calibration()["landmarks"][protocol]
        assert errors["yaw"]["mean"] <= 3 and errors["pitch"]["mean"] <= 3
        weaker = calibration()["five_points"][protocol]
        assert weaker["yaw"]["mean"] <= 3 and weaker["pitch"]["mean"] <= 3


@pytest.fixture(scope="module")
def script(root):
    spec = importlib.util.spec_from_file_location("calibrate_pose", root / "scripts/calibrate_pose.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_leaving_out_measures_what_was_left_out(script):
    """Exact readings have no error left out; a view that no other explains keeps all of its own."""
    coefficients = np.array([0.9, 0.3]), np.array([2.0, 0.8, -0.1, 0.3])

    def true(yaw: float, pitch: float) -> Pose:
        return Pose(*(float(np.dot(c, f)) for c, f in zip(coefficients, features(yaw, pitch), strict=True)))

    pairs = [(true(y, p), Pose(y, p)) for y in (-50, -30, -10, 10, 30, 50) for p in (-30, -10, 10, 30)]
    assert np.allclose(np.concatenate(script.fitted(pairs, (2, 4))), np.concatenate(coefficients))
    assert script.left_out(pairs, (2, 4), False)["pitch"]["max"] < 0.01
    spoiled = [(Pose(p[0].yaw_deg, p[0].pitch_deg + 9 * (i == 5)), p[1]) for i, p in enumerate(pairs)]
    assert script.left_out(spoiled, (2, 4), False)["pitch"]["max"] > 8.9


@pytest.mark.parametrize("name", ["yaw+00_pitch-15", "yaw-15_pitch+15", "yaw+30_pitch-30", "yaw-45_pitch+00"])
def test_exactly_known_views_are_read_by_both(name, faces, arcface):
    yaw, pitch = (float(v) for v in re.findall(r"[+-]\d+", name))
    image = read_photo(faces / "head3d" / f"{name}.png").pixels
    face = arcface.largest(image)
    for found, limit in ((face.pose, 5.0), (second_pose(image, face, arcface), 8.0)):
        assert abs(found.yaw_deg - yaw) < limit and abs(found.pitch_deg - pitch) < limit


def test_a_mirrored_photo_has_the_mirrored_pose(astronaut, astronaut_face, embedded):
    (other,) = embedded.faces(np.ascontiguousarray(astronaut.pixels[:, ::-1]))
    assert abs(other.pose.yaw_deg + astronaut_face.pose.yaw_deg) < 2
    assert abs(other.pose.pitch_deg - astronaut_face.pose.pitch_deg) < 2
    assert abs(other.pose.roll_deg + astronaut_face.pose.roll_deg) < 2


def test_dlibs_corners_lie_on_the_eyes(astronaut, astronaut_face, embedded):
    """The embedded pack's second opinion; coarse in pitch, which its data file says."""
    assert second_kind(embedded) == "eye_corners"
    points = eye_corners(astronaut.pixels, astronaut_face.box)
    expected = astronaut_face.landmarks[[263, 362, 33, 133, 2], :2]
    assert np.linalg.norm(points - expected, axis=1).max() < 6, "pixels, of a face 108 wide"
    found = second_pose(astronaut.pixels, astronaut_face, embedded)
    assert abs(found.yaw_deg - astronaut_face.pose.yaw_deg) < 8
    assert calibration()["eye_corners"]["error_deg_view_left_out"]["pitch"]["mean"] > 3, "else the docstring is wrong"


def test_frontal_people_read_as_frontal(faces, arcface):
    """Every fifth of the London people: none was used for the calibration."""
    first, second = [], []
    for path in sorted((faces / "london").glob("*_neutral.jpg"))[::5]:
        image = read_photo(path).pixels
        face = arcface.largest(image)
        first.append((face.pose.yaw_deg, face.pose.pitch_deg))
        other = second_pose(image, face, arcface)
        second.append((other.yaw_deg, other.pitch_deg))
    assert len(first) == 12
    for readings in (np.array(first), np.array(second)):
        assert (np.abs(readings.mean(0)) < (2, 4)).all() and (np.abs(readings) < (8, 14)).all()


@pytest.mark.parametrize("subject", ["t03", "t15", "t17"])
def test_real_heads_turn_monotonously(subject, faces, arcface):
    """From profile to front; a quarter of each person's photos. MediaPipe sees no profile, SCRFD does."""
    first, second = [], []
    paths = sorted((faces / "turning").glob(f"{subject}_*.png"))[::4]
    for path in paths:
        image = cv2.resize(read_photo(path).pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        face = arcface.largest(image)
        second.append(abs(second_pose(image, face, arcface).yaw_deg))
        if face.landmarks is not None:
            first.append(abs(estimate_pose(face.landmarks).yaw_deg))
    assert len(second) == len(paths) == 5 and len(first) >= 4
    assert (np.diff(second) < 0).all()
    assert first == sorted(first, reverse=True)


def test_profiles_are_read_by_the_five_points_and_the_rest_by_the_landmarks(astronaut_face):
    landmarks, near = astronaut_face.landmarks, astronaut_face.pose
    turned = AVERAGE_HEAD["five_points"] @ rotation(Pose(70, 0)).T
    profile = turned[:, :2] * (CAMERA_MM / (CAMERA_MM + turned[:, 2:]))
    frontal = AVERAGE_HEAD["five_points"][:, :2]
    assert abs(point_pose(frontal).yaw_deg) < PROFILE_DEG < point_pose(profile).yaw_deg
    assert read_pose(landmarks, None) == read_pose(landmarks, frontal) == near
    assert read_pose(landmarks, profile) == read_pose(None, profile) == point_pose(profile)
    assert read_pose(None, frontal) == point_pose(frontal)
    assert read_pose(None, None) is None and read_pose(landmarks, np.zeros((5, 2))) == near


@pytest.mark.parametrize("yaw", [60, -60])
def test_a_view_in_near_profile_is_read(yaw, faces, arcface):
    """Calibrated within 45 degrees; the landmarks alone read about 50 here or nothing."""
    face = arcface.largest(read_photo(faces / "head3d" / f"yaw{yaw:+03d}_pitch+00.png").pixels)
    assert abs(face.pose.yaw_deg - yaw) < 8


def test_turning_people_are_read_in_their_order(faces, arcface):
    """Rank correlation of |yaw| with the number of the photo, higher being more frontal; every third photo."""
    from scipy.stats import spearmanr

    ranks = []
    for subject in ("t01", "t05", "t11", "t19"):
        paths = sorted((faces / "turning").glob(f"{subject}_*.png"))[::3]
        images = [cv2.resize(read_photo(p).pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for p in paths]
        yaws = [abs(arcface.largest(image).pose.yaw_deg) for image in images]
        ranks.append(spearmanr(yaws, range(len(yaws))).statistic)
    assert max(ranks) <= -0.9, ranks
