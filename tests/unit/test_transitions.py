"""A head turned in steps of five degrees: poses rise, none jumps, no image flickers; and its mirror image agrees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sdaug.evaluation.truth.transitions import PITCHES, YAWS, flicker, strip_picture, turned_strip, worst_flicker
from sdaug.face.photo import photo_from_array, read_photo
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import Pose

JUMP_DEG = 8
EVEN = 1.3
"""Largest over median second difference; brightening one image of the strip by four grey levels gives more."""


@pytest.fixture(scope="module")
def strips(stage, embedded):
    return {"yaw_deg": turned_strip(stage, YAWS, embedded), "pitch_deg": turned_strip(stage, PITCHES, embedded)}


@pytest.mark.parametrize("axis", ["yaw_deg", "pitch_deg"])
def test_the_measured_pose_rises_without_a_jump(axis, strips):
    strip = strips[axis]
    assert len(strip.poses) == (19 if axis == "yaw_deg" else 13) and None not in strip.measured
    steps = np.diff([getattr(pose, axis) for pose in strip.measured])
    assert (steps > 0).all() and (steps <= JUMP_DEG).all(), steps.round(1)
    other = [getattr(pose, "pitch_deg" if axis == "yaw_deg" else "yaw_deg") for pose in strip.measured]
    assert np.abs(np.diff(other)).max() <= JUMP_DEG


@pytest.mark.parametrize("axis", ["yaw_deg", "pitch_deg"])
def test_no_image_flickers(axis, strips):
    images = list(strips[axis].images)
    assert worst_flicker(images) < EVEN
    images[6] = np.clip(images[6].astype(int) + 4, 0, 255).astype(np.uint8)
    assert worst_flicker(images) > EVEN, "the measure must be able to tell"


def test_a_real_person_turns_without_a_jump(faces, embedded):
    photo = read_photo(faces / "london" / "001_neutral.jpg")
    strip = turned_strip(set_stage(photo, embedded.largest(photo.pixels), embedded.mesh), YAWS, embedded)
    steps = np.diff([pose.yaw_deg for pose in strip.measured])
    assert (steps > 0).all() and (steps <= JUMP_DEG).all() and worst_flicker(strip.images) < EVEN


@pytest.mark.parametrize("pose", [Pose(30, 0), Pose(15, -15)])
def test_a_mirrored_photo_turned_the_other_way_is_the_mirrored_view(pose, astronaut, stage, embedded):
    mirrored = photo_from_array(astronaut.pixels[:, ::-1].copy())
    other = set_stage(mirrored, embedded.largest(mirrored.pixels), embedded.mesh)
    image, image_too = turn(stage, pose).image, turn(other, Pose(-pose.yaw_deg, pose.pitch_deg)).image
    found, found_too = embedded.largest(image).pose, embedded.largest(image_too).pose
    assert abs(found.yaw_deg + found_too.yaw_deg) < 3 and abs(found.pitch_deg - found_too.pitch_deg) < 3


def test_flicker_is_nothing_for_even_change_and_stands_out_for_one_image():
    ramp = [np.full((8, 8, 3), 10 * i, np.uint8) for i in range(9)]
    assert flicker(ramp).max() == 0 and flicker(ramp).shape == (7,)
    bent = [*ramp[:4], np.full((8, 8, 3), 47, np.uint8), *ramp[5:]]
    assert flicker(bent).tolist() == [0, 0, 7, 14, 7, 0, 0]
    with pytest.raises(ValueError, match="2 images have no second difference"):
        flicker(ramp[:2])


@hypothesis_settings(deadline=None, max_examples=15)
@given(st.floats(-45, 45), st.floats(-30, 30), st.floats(-20, 20))
def test_any_pose_gives_a_whole_view(stage, yaw, pitch, roll):
    view = turn(stage, Pose(yaw, pitch, roll))
    assert view.image.shape == (512, 512, 3) and view.image.dtype == np.uint8
    assert np.isfinite(view.landmarks).all() and np.isfinite(view.valid).all()
    assert 0 <= view.valid.min() and view.valid.max() <= 1
    centre = view.landmarks[:468, :2].mean(0)
    assert (np.abs(centre - 256) < 120).all(), "the head stays in the picture"


def test_the_strip_is_one_picture(strips):
    assert strip_picture(strips["pitch_deg"], 64).shape == (64, 13 * 64, 3)
