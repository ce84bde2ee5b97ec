"""Seeing a face: rotations, poses, boxes, landmarks at the border and far away."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdaug.face.alignment import TEMPLATE, aligned_face
from sdaug.face.mesh import Detection, distinct, overlap
from sdaug.face.photo import read_photo
from sdaug.face.pose import estimate_pose, reference_shape
from sdaug.face.rotation import pose_of, rotation, similarity_fit
from sdaug.packs import PackError, face_from_landmarks, load_pack
from sdaug.types import Pose

yaws = st.floats(-179, 179)
pitches = st.floats(-89, 89)


def mirrored(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


# -- rotations


@given(yaws, pitches, yaws)
def test_a_pose_survives_its_rotation(yaw, pitch, roll):
    matrix = rotation(Pose(yaw, pitch, roll))
    assert np.allclose(matrix @ matrix.T, np.eye(3)) and np.linalg.det(matrix) == pytest.approx(1)
    back = pose_of(matrix)
    assert (back.yaw_deg, back.pitch_deg, back.roll_deg) == pytest.approx((yaw, pitch, roll), abs=1e-6)


def test_the_signs_are_those_of_iso_39794_5():
    """x right, y down, z away; the nose points at the camera, the crown up, the own left is the image's right."""
    nose, crown = np.array([0, 0, -1]), np.array([0, -1, 0])
    assert (rotation(Pose(30, 0)) @ nose)[0] == pytest.approx(0.5), "own left: the nose moves to the image's right"
    assert (rotation(Pose(0, 30)) @ nose)[1] == pytest.approx(0.5), "down: the nose moves down"
    assert (rotation(Pose(0, 0, 30)) @ crown)[0] == pytest.approx(-0.5), "own right shoulder: the image's left"


@given(st.floats(-60, 60), st.floats(-45, 45), st.floats(-40, 40), st.floats(0.1, 50), st.integers(0, 99))
def test_similarity_fit_finds_what_was_done(yaw, pitch, roll, scale, seed):
    points = np.random.default_rng(seed).normal(size=(20, 3))
    matrix, shift = rotation(Pose(yaw, pitch, roll)), np.array([5.0, -3.0, 40.0])
    found_scale, found_matrix, found_shift = similarity_fit(points, scale * points @ matrix.T + shift)
    assert found_scale == pytest.approx(scale)
    assert np.allclose(found_matrix, matrix) and np.allclose(found_shift, shift)


def test_similarity_fit_never_mirrors():
    points = np.random.default_rng(0).normal(size=(20, 3))
    assert np.linalg.det(similarity_fit(points, points * [-1, 1, 1])[1]) == pytest.approx(1)


# -- pose


@pytest.mark.parametrize("pose", [Pose(25, 0), Pose(-25, 0), Pose(0, 20), Pose(0, -20), Pose(0, 0, 20)])
def test_the_mean_face_turned_reads_as_turned(pose):
    """The calibration may stretch, but the direction, and which axis it is, must stand."""
    turned = 100 * reference_shape() @ rotation(pose).T + [300, 200, 0]
    still, found = estimate_pose(100 * reference_shape()), estimate_pose(turned)
    for axis in ("yaw_deg", "pitch_deg", "roll_deg"):
        asked, moved = getattr(pose, axis), getattr(found, axis) - getattr(still, axis)
        assert abs(moved - asked) < (0.4 * abs(asked) if asked else 4)


def test_pose_does_not_depend_on_size_or_place(astronaut_face):
    pose, moved = astronaut_face.pose, estimate_pose(astronaut_face.landmarks * np.float32(7) + np.float32(1000))
    assert moved.yaw_deg == pytest.approx(pose.yaw_deg, abs=0.05)
    assert moved.pitch_deg == pytest.approx(pose.pitch_deg, abs=0.05)


# Not index 3: looking up by 30 degrees, the landmark network reads this view and its mirror image 6 degrees apart.
@pytest.mark.parametrize("index", [0, 5, 6, 8])
def test_a_mirrored_photo_has_the_mirrored_pose(views, embedded, index):
    image = views[index].image
    face, flipped = (embedded.largest(pixels) for pixels in (image, mirrored(image)))
    assert flipped.pose.yaw_deg == pytest.approx(-face.pose.yaw_deg, abs=3)
    assert flipped.pose.pitch_deg == pytest.approx(face.pose.pitch_deg, abs=3)
    assert flipped.pose.roll_deg == pytest.approx(-face.pose.roll_deg, abs=3)


def test_a_rolled_photo_reads_as_rolled(astronaut, astronaut_face, embedded):
    """Turned clockwise on the screen, the head tilts to its own left shoulder: negative roll."""
    place = cv2.getRotationMatrix2D((227, 123), -20, 1)
    (face,) = embedded.faces(cv2.warpAffine(astronaut.pixels, place, (512, 512), borderValue=(127, 127, 127)))
    assert face.pose.roll_deg - astronaut_face.pose.roll_deg == pytest.approx(-20, abs=3)


def test_known_poses_are_measured_within_three_degrees(faces, embedded):
    errors = {}
    for path in sorted((faces / "head3d").glob("*.png")):
        yaw, pitch = (int(n) for n in re.findall(r"[+-]\d\d", path.stem))
        if abs(yaw) <= 45 and abs(pitch) <= 30:
            (face,) = embedded.faces(read_photo(path).pixels)
            errors[yaw, pitch] = (face.pose.yaw_deg - yaw, face.pose.pitch_deg - pitch, face.pose.roll_deg)
    assert len(errors) > 25
    mean = np.abs(list(errors.values())).mean(0)
    assert (mean <= 3).all(), f"mean error of yaw, pitch, roll is {mean.round(2)}"


# -- boxes


def test_boxes_of_one_face_are_one_face():
    big, inner, aside = (0, 0, 100, 100), (20, 20, 60, 60), (90, 0, 190, 100)
    found = distinct([Detection(inner, 0.7), Detection(big, 0.9), Detection(aside, 0.8)])
    assert [d.box for d in found] == [big, aside]
    assert distinct([]) == []


boxes = st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 40)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, boxes)
def test_overlap_is_the_shared_pixels_over_the_smaller_box(a, b):
    def pixels(box):
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    shared = len(pixels(a) & pixels(b))
    assert overlap(a, b) == pytest.approx(shared / min(len(pixels(a)), len(pixels(b)))) == overlap(b, a)


@given(st.lists(st.tuples(boxes, st.floats(0, 1)), max_size=12))
def test_distinct_keeps_the_best_and_drops_only_what_it_covers(found):
    detections = [Detection(*each) for each in found]
    kept = distinct(detections)
    assert [d.score for d in kept] == sorted((d.score for d in kept), reverse=True)
    for dropped in set(detections) - set(kept):
        assert any(overlap(dropped.box, k.box) > 0.5 and k.score >= dropped.score for k in kept)
    assert all(overlap(a.box, b.box) <= 0.5 for i, a in enumerate(kept) for b in kept[:i])


# -- landmarks


def test_five_points_are_where_the_face_is(astronaut_face):
    eye, other_eye, nose, mouth, other_mouth = astronaut_face.five_points
    assert eye[0] < nose[0] < other_eye[0] and mouth[0] < other_mouth[0]
    assert max(eye[1], other_eye[1]) < nose[1] < min(mouth[1], other_mouth[1])
    x0, y0, x1, y1 = astronaut_face.box
    assert ((astronaut_face.five_points > (x0, y0)) & (astronaut_face.five_points < (x1, y1))).all()
    assert astronaut_face.landmarks.shape == (478, 3) and astronaut_face.landmarks.dtype == np.float32


@pytest.mark.parametrize("side", ["top", "left", "bottom", "right"])
def test_a_face_at_the_border_has_the_same_landmarks(side, astronaut, astronaut_face, embedded):
    x0, y0, x1, y1 = (int(v) for v in astronaut_face.box)
    rows = slice(y0 if side == "top" else 0, y1 - 10 if side == "bottom" else 512)
    columns = slice(x0 + 10 if side == "left" else 0, x1 - 10 if side == "right" else 512)
    (face,) = embedded.faces(np.ascontiguousarray(astronaut.pixels[rows, columns]))
    there = face.landmarks[:468, :2] + [columns.start, rows.start]
    assert np.median(np.linalg.norm(there - astronaut_face.landmarks[:468, :2], axis=1)) < 1.5


@pytest.mark.parametrize("share", [0.65, 1.0, 3.0])
def test_a_small_or_large_face_has_the_same_landmarks(share, astronaut, astronaut_face, embedded):
    scaled = cv2.resize(astronaut.pixels, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    (face,) = embedded.faces(scaled)
    distance = np.linalg.norm(face.landmarks[:468] / share - astronaut_face.landmarks[:468], axis=1)
    assert np.median(distance) < 2, "median, source pixels, depth included"


def test_faces_are_found_only_where_there_are_some(embedded, astronaut):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert embedded.faces(noise) == [] == embedded.faces(np.zeros((480, 640, 3), np.uint8))
    found = embedded.faces(np.concatenate([astronaut.pixels, astronaut.pixels], axis=1))
    assert sorted(int(face.box[0] // 512) for face in found) == [0, 1]


def test_a_face_from_landmarks_is_the_face_they_came_from(astronaut_face):
    made = face_from_landmarks(astronaut_face.landmarks, 0.25)
    assert made.confidence == 0.25 and made.pose == astronaut_face.pose
    assert np.allclose(made.five_points, astronaut_face.five_points)
    assert overlap(made.box, astronaut_face.box) > 0.8


def test_alignment_brings_the_five_points_to_their_places():
    place = np.array([[1.1, -0.4, 30], [0.4, 1.1, 12]])
    points = (TEMPLATE - place[:, 2]) @ np.linalg.inv(place[:, :2]).T * 3
    image = np.zeros((600, 600, 3), np.uint8)
    for x, y in points + 150:
        cv2.circle(image, (round(x), round(y)), 5, (255, 255, 255), -1)
    chip = aligned_face(image, points + 150)[..., 0]
    assert chip.shape == (112, 112)
    for x, y in TEMPLATE:
        assert chip[round(y), round(x)] > 200
    assert (chip > 128).mean() < 0.02


# -- packs


def test_a_pack_is_named_or_a_folder(tmp_path):
    with pytest.raises(PackError, match="unknown face pack 'embeded'.*did you mean 'embedded'"):
        load_pack("embeded")
    with pytest.raises(PackError, match="holds no .onnx file"):
        load_pack(str(tmp_path))


def test_a_known_pack_that_is_absent_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(PackError, match="'buffalo_l' is not on this machine.*sdaug models pull buffalo_l"):
        load_pack("buffalo_l")


def test_pack_facts_name_every_network(embedded):
    assert embedded.facts["name"] == "embedded" and embedded.facts["recognisers"] == ["dlib_resnet"]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in embedded.facts["files"].values())
    assert len(embedded.facts["files"]) == 3


def test_the_insightface_pack_sees_frame_filling_and_far_faces(arcface, astronaut, astronaut_face, views):
    (face,) = arcface.faces(astronaut.pixels)
    assert overlap(face.box, astronaut_face.box) > 0.7
    assert np.linalg.norm(face.five_points - astronaut_face.five_points, axis=1).max() < 8
    close = cv2.resize(views[0].image[100:430, 90:420], (512, 512))
    assert arcface.faces(close)[0].confidence > 0.7
    assert arcface.facts["recognisers"] == ["arcface", "dlib_resnet"]
