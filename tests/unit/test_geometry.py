"""Turning the photo: triangles, filling, and above all that a head turns the way it was asked to."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sdaug.face.photo import photo_from_array
from sdaug.face.rotation import rotation
from sdaug.synthesis.fill import pyramid_fill
from sdaug.synthesis.raster import affine_maps, interpolate, triangle_index
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES, Pose

# -- triangles

SQUARE = np.array([[(0, 0), (40, 0), (0, 40)], [(40, 0), (40, 40), (0, 40)]], float)


def test_affine_maps_are_exact_on_a_linear_function():
    corners = np.random.default_rng(0).uniform(0, 60, (5, 3, 2))
    function = np.array([[2.0, -3.0, 7.0], [0.5, 0.25, -1.0]])
    values = np.concatenate([corners, np.ones((5, 3, 1))], 2) @ function.T
    assert np.allclose(affine_maps(corners, values), function)


def test_interpolation_reproduces_a_linear_function_in_every_triangle():
    values = np.stack([3 * SQUARE[..., 0] - SQUARE[..., 1] + 5, SQUARE[..., 1]], axis=2)
    index = triangle_index(SQUARE, np.zeros(2), 41)
    found = np.moveaxis(interpolate(index, affine_maps(SQUARE, values)), 0, 2)
    y, x = np.mgrid[:41, :41]
    assert set(np.unique(index)) == {0, 1} and index.dtype == np.int32
    assert np.abs(found - np.stack([3 * x - y + 5, y], 2)).max() < 1e-3


def test_pixels_show_the_triangle_they_lie_in():
    index = triangle_index(SQUARE, np.zeros(2), 60)
    assert index[5, 5] == 0 and index[35, 35] == 1 and (index[45:] == -1).all() and (index[:, 45:] == -1).all()


@pytest.mark.parametrize("nearer", [0, 1])
def test_the_nearer_triangle_hides_the_farther_one(nearer):
    corners = np.array([[(0, 0), (60, 0), (0, 60)], [(0, 0), (60, 0), (0, 60)]], float)
    depth = np.array([10.0, 10.0])
    depth[nearer] = 5
    index = triangle_index(corners, depth, 50)
    assert set(np.unique(index)) == {-1, nearer}


# -- filling

masks = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).random((24, 31)) < (seed % 7 + 1) / 8)


@hypothesis_settings(deadline=None)
@given(masks, st.integers(0, 99))
def test_filling_keeps_what_is_known_and_stays_between_its_extremes(known, seed):
    image = np.random.default_rng(seed).integers(60, 180, (24, 31, 3), dtype=np.uint8)
    inside = image[known]
    filled = pyramid_fill(image, known.astype(np.float32))
    assert filled.shape == image.shape and filled.dtype == np.uint8
    assert np.array_equal(filled[known], inside)
    assert (filled >= inside.min(0).astype(int) - 1).all() and (filled <= inside.max(0).astype(int) + 1).all()
    other = np.where(known[..., None], image, np.uint8(255))
    assert np.array_equal(pyramid_fill(other, known.astype(np.float32)), filled), "unknown pixels must not leak"


def test_filling_is_smooth_and_local():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 48:] = 200
    known = np.ones((64, 64), np.float32)
    known[:, 16:48] = 0
    row = pyramid_fill(image, known)[32, :, 0].astype(int)
    assert row[17] < 60 and row[46] > 140 and np.abs(np.diff(row)).max() < 40
    assert (pyramid_fill(image, np.zeros((64, 64), np.float32)) == 127).all()


# -- turning


def seen(pack, view):
    return pack.largest(view.image)


def outline(landmarks: np.ndarray) -> np.ndarray:
    """The face's hull as a (512, 512) mask."""
    mask = np.zeros((512, 512), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(landmarks[:468, :2].astype(np.int32)), 1)
    return mask > 0


@pytest.mark.parametrize("index", range(1, 10))
def test_a_view_turns_the_way_it_was_asked_by_at_least_half(index, views, embedded):
    asked, found = ANGLES[index], seen(embedded, views[index]).pose
    for axis in ("yaw_deg", "pitch_deg"):
        wanted, measured = getattr(asked, axis), getattr(found, axis)
        if wanted:
            assert wanted * measured > 0 and abs(measured) > abs(wanted) / 2, f"{axis}: asked {wanted}, got {measured}"
        else:
            assert abs(measured) < 10, f"{axis} was not asked to change, got {measured}"
    assert abs(found.roll_deg) < 8


@pytest.mark.parametrize(
    "pose", [Pose(30, 0), Pose(-30, 0), Pose(0, 20), Pose(0, -20), Pose(0, 0, 15), Pose(0, 0, -15)]
)
def test_both_signs_of_every_axis_turn_apart(pose, stage, embedded):
    found = seen(embedded, turn(stage, pose)).pose
    for axis in ("yaw_deg", "pitch_deg", "roll_deg"):
        wanted = getattr(pose, axis)
        assert abs(getattr(found, axis) - wanted) < max(8, abs(wanted) / 2)


def test_the_frontal_view_is_frontal_and_the_same_person(views, embedded, astronaut, astronaut_face):
    face = seen(embedded, views[0])
    assert abs(face.pose.yaw_deg) < 5 and abs(face.pose.pitch_deg) < 7 and abs(face.pose.roll_deg) < 4
    (recogniser,) = embedded.recognisers
    source = recogniser.embed(astronaut.pixels, astronaut_face)
    assert recogniser.similarity(source, recogniser.embed(views[0].image, face)) > 0.35


def test_every_view_stays_nearer_to_its_source_than_the_threshold(warp_record):
    for angle in warp_record.angles:
        assert angle.judgement.similarity["dlib_resnet"] > 0, angle.requested


@pytest.mark.parametrize("index", range(10))
def test_a_views_landmarks_are_where_they_are_seen(index, views, embedded):
    """The control image is drawn from them. The face is 250 px high; a wrong sign or axis is off by 30 px and more."""
    view = views[index]
    distance = np.linalg.norm(seen(embedded, view).landmarks[:468, :2] - view.landmarks[:468, :2], axis=1)
    assert np.median(distance) < (12 if abs(view.pose.yaw_deg) > 40 else 7)


@pytest.mark.parametrize("index", range(10))
def test_the_masks_agree_with_each_other(index, views):
    view = views[index]
    assert view.image.shape == (512, 512, 3) and view.image.dtype == np.uint8
    assert view.valid.shape == view.hole.shape == (512, 512)
    assert view.valid.dtype == np.float32 and view.hole.dtype == bool
    assert view.valid.min() >= 0 and view.valid.max() <= 1
    assert not view.hole[view.valid > 0.5].any() and view.hole[view.valid < 0.1].all()
    assert view.landmarks.shape == (478, 3) and view.landmarks.dtype == np.float32
    assert view.pose == ANGLES[index]
    assert 0.5 < view.valid.mean() < 1


def test_more_of_the_head_is_unseen_the_more_it_turns(views):
    frontal, turned, half = (views[i].hole.mean() for i in (0, 1, 5))
    assert frontal < half < turned < 0.3


def test_the_side_that_turns_into_sight_is_the_one_that_holds_the_hole(stage):
    """Turned to the own left, the camera sees more of the own right side, which is the image's left."""
    for yaw in (45, -45):
        view = turn(stage, Pose(yaw, 0))
        face = outline(view.landmarks)
        columns = np.flatnonzero((view.valid * face).sum(0) > 0)
        middle = columns.mean()
        unseen = np.where(face, 1 - view.valid, 0).sum(0)
        left, right = unseen[: int(middle)].sum(), unseen[int(middle) :].sum()
        assert left > right if yaw > 0 else right > left


def test_turning_to_the_sources_own_pose_gives_the_source_back(stage, astronaut_face):
    pose = astronaut_face.pose
    view = turn(stage, pose)
    face = outline(view.landmarks)

    def difference(view) -> float:
        return float(np.abs(view.image.astype(int) - stage.image)[face].mean())

    assert difference(view) < 2, "mean of 0..255 inside the face"
    assert view.valid[face].mean() > 0.95
    for wrong in (
        Pose(pose.yaw_deg + 3, pose.pitch_deg, pose.roll_deg),
        Pose(pose.yaw_deg, -pose.pitch_deg, pose.roll_deg),
        Pose(pose.yaw_deg, pose.pitch_deg, -pose.roll_deg),
    ):
        assert difference(turn(stage, wrong)) > 6, "the test must be able to tell"


def test_a_turned_source_comes_back_to_itself(views, embedded):
    """The source's own pose is undone, also where it is far from frontal: turning a turned view gives it back."""
    photo = photo_from_array(views[5].image)
    face = embedded.largest(photo.pixels)
    stage = set_stage(photo, face, embedded.mesh)
    again = turn(stage, face.pose)
    inside = outline(again.landmarks)
    assert np.abs(again.image.astype(int) - stage.image)[inside].mean() < 3


def test_a_mirrored_photo_gives_the_mirrored_view(astronaut, stage, embedded):
    photo = photo_from_array(np.ascontiguousarray(astronaut.pixels[:, ::-1]))
    face = embedded.largest(photo.pixels)
    flipped = turn(set_stage(photo, face, embedded.mesh), Pose(-30, 0)).image[:, ::-1].astype(int)
    right, wrong = (np.abs(flipped - turn(stage, Pose(yaw, 0)).image)[100:420, 100:420].mean() for yaw in (30, -30))
    assert right < 0.6 * wrong


def test_the_landmarks_follow_the_rotation(stage):
    """In a narrow view, two rotations differ by a third that takes one's landmarks to the other's."""
    first, second = turn(stage, Pose(10, 5)), turn(stage, Pose(-20, 15))
    centred = [v.landmarks[:468].astype(float) - v.landmarks[:468].mean(0) for v in (first, second)]
    between = rotation(second.pose) @ rotation(first.pose).T
    right, wrong = (
        np.median(np.linalg.norm((centred[0] @ matrix - centred[1])[:, :2], axis=1)) for matrix in (between.T, between)
    )
    assert right < 5 < 15 < wrong, "pixels; the face is 240 high"


def test_a_face_at_the_edge_of_its_photo_can_be_turned(astronaut, astronaut_face, embedded):
    x0, y0, x1, y1 = (int(v) for v in astronaut_face.box)
    photo = photo_from_array(np.ascontiguousarray(astronaut.pixels[max(y0 - 10, 0) : y1 + 10, x0 - 10 : x1 + 10]))
    (face,) = embedded.faces(photo.pixels)
    view = turn(set_stage(photo, face, embedded.mesh), Pose(22, 0))
    assert seen(embedded, view).pose.yaw_deg > 11
    assert view.hole[:40].all(), "what lies outside the photo was never seen"


def test_landmarks_that_are_not_finite_are_refused(astronaut, astronaut_face, embedded):
    broken = astronaut_face.landmarks.copy()
    broken[7, 1] = np.nan
    with pytest.raises(ValueError, match="1 landmark coordinates are not finite"):
        set_stage(astronaut, replace(astronaut_face, landmarks=broken), embedded.mesh)
