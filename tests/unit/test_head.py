"""The head around the face: the average one, how it is bent, widened and coloured, and what stays where it is."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sdaug.face.photo import photo_from_array
from sdaug.face.pose import MESH
from sdaug.synthesis.hair import find_outline, rim, widening
from sdaug.synthesis.head import build_head, metric_depth, project, unproject
from sdaug.synthesis.mirror import GAIN_LIMITS, borrowed, side_gain
from sdaug.synthesis.raster import facing
from sdaug.synthesis.skin import spread
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.template import below_jaw, bent, mirrored, scaled, template
from sdaug.synthesis.warp import turn
from sdaug.types import Pose

# -- the average head


def test_the_template_is_a_head_in_face_widths():
    own = template()
    assert own.landmarks.shape == (468, 3) and own.bend.shape == (len(own.vertices), 468)
    everything = np.concatenate([own.landmarks, own.vertices])
    assert np.isfinite(everything).all() and own.triangles.max() == len(own.vertices) - 1
    head = everything[below_jaw(everything) < 0]
    wide, high, deep = np.ptp(head, axis=0)
    # heads are 1.05 to 1.4 face widths wide with their ears, and longer and deeper than wide
    assert 1.05 < wide < 1.4 < high < 2.2 and 1.3 < deep < 2.0
    assert abs(own.landmarks[454, 0] - own.landmarks[234, 0] - 1) < 0.01
    nose, chin, ear = own.landmarks[1], own.landmarks[152], own.landmarks[454]
    assert nose[2] < chin[2] < ear[2] and chin[1] > nose[1] > ear[1]


def test_the_template_is_symmetric_and_knows_its_mirror_image():
    everything = template().points
    partner = mirrored()
    distance = np.linalg.norm(everything[partner] - everything * [-1, 1, 1], axis=1)
    assert np.median(distance) < 0.01 and (distance < 0.08).all(), "face widths"
    assert (np.sign(everything[partner, 0]) == -np.sign(everything[:, 0]))[np.abs(everything[:, 0]) > 0.1].all()


def test_a_head_seen_from_the_front_shows_its_outside():
    own = template()
    corners = own.vertices[own.triangles]
    towards = facing(project(corners.reshape(-1, 3), 7.0).reshape(-1, 3, 2)) > 0
    depth = corners[..., 2].mean(1)
    assert np.median(depth[towards]) < np.median(depth[~towards]) - 0.2


@pytest.fixture(scope="module")
def person():
    """A made-up person's upright landmarks: the template's, stretched, shifted and with another nose."""
    landmarks = template().landmarks * [150, 170, 160] + [3, -5, 20]
    landmarks[[1, 4, 5, 195, 197], 2] -= 12
    return landmarks


def test_scaling_finds_width_height_and_place(person):
    landmarks, vertices = scaled(person)
    assert np.abs(landmarks - person)[:, :2].max() < 1
    assert abs(np.ptp(vertices[:, 0]) - 150 * np.ptp(template().vertices[:, 0])) < 2


def test_bending_follows_the_face_nearby_and_leaves_the_skull_alone(person):
    base = scaled(person)
    moved = person.copy()
    moved[:, 0] += 20
    near = np.linalg.norm(base[1] - base[0][454], axis=1) < 25
    far = np.linalg.norm(base[1][:, None] - base[0][None], axis=2).min(1) > 0.8 * 170
    shift = (bent(moved, base) - bent(person, base))[:, 0]
    assert near.any() and far.any()
    assert (shift[near] > 15).all() and np.abs(shift[far]).max() < 1e-9


def test_projection_undoes_unprojection():
    rng = np.random.default_rng(0)
    points = rng.uniform(-200, 200, (50, 3))
    centre, distance = np.array([10.0, -20.0, 30.0]), 1500.0
    assert np.allclose(project(unproject(points, centre, distance), distance) + centre[:2], points[:, :2])


def test_depth_is_between_two_guesses_and_leaves_the_picture_alone(astronaut_face):
    points = astronaut_face.landmarks.astype(float)
    metric = metric_depth(points, astronaut_face.pose)
    assert np.array_equal(metric[:, :2], points[:, :2])
    assert metric[1, 2] < metric[454, 2] and metric[1, 2] < metric[234, 2], "the nose is nearest"


# -- hair


def circle(radius: float, count: int = 90) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False) - np.pi / 2
    return np.column_stack([256 + radius * np.cos(angle), 256 + radius * np.sin(angle)])


@pytest.mark.parametrize("reach", [95, 120, 160])
def test_a_bald_head_is_widened_to_the_persons_outline(reach):
    mask = np.zeros((512, 512), np.float32)
    cv2.circle(mask, (256, 250), reach, 1.0, -1)
    up = np.array([0.0, -1.0])
    outline = find_outline(circle(100), circle(70, 36), up, mask, np.ones_like(mask))
    top = circle(100)[:1]
    widened = outline.middle + (top - outline.middle) * widening(top, outline)[:, None]
    assert abs((256 - widened[0, 1]) - (reach + 6)) < 8, "with the margin of 3 %"
    below = circle(100)[45:46]
    assert widening(below, outline)[0] == pytest.approx(1), "below the ears the head keeps its own outline"
    hair = rim(circle(90), up, outline)
    assert (mask[hair[:, 1].astype(int), hair[:, 0].astype(int)] == 1).all()
    assert (hair[:, 1] < outline.middle[1]).all(), "above the ears"


def test_where_the_photo_ends_the_bald_head_is_kept():
    mask = np.ones((512, 512), np.float32)
    outline = find_outline(circle(100), circle(70, 36), np.array([0.0, -1.0]), mask, np.zeros_like(mask))
    assert np.abs(widening(circle(100)[:20], outline) - 1.03).max() < 0.03


# -- colours


def strip(count: int) -> np.ndarray:
    """Triangles of a ladder: vertices 2 k and 2 k + 1 are rung k."""
    return np.concatenate(
        [[(2 * k, 2 * k + 1, 2 * k + 2), (2 * k + 1, 2 * k + 3, 2 * k + 2)] for k in range(count - 1)]
    )


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.integers(4, 12), st.integers(0, 999))
def test_spread_colours_keep_the_known_and_stay_between_them(count, seed):
    rng = np.random.default_rng(seed)
    colours = rng.uniform(0, 255, (2 * count, 3))
    known = rng.random(2 * count) < 0.4
    known[0] = True
    filled = spread(colours, known, strip(count), np.zeros((0, 2), int))
    assert np.array_equal(filled[known], colours[known])
    assert (filled >= colours[known].min(0) - 1e-6).all() and (filled <= colours[known].max(0) + 1e-6).all()
    other = np.where(known[:, None], colours, 7.0)
    assert np.allclose(spread(other, known, strip(count), np.zeros((0, 2), int)), filled), "unknown ones must not leak"


def test_spread_is_the_mean_of_the_neighbours_and_crosses_the_seam():
    triangles = np.array([(0, 1, 2), (3, 4, 5)])
    colours = np.array([[0.0], [90.0], [99.0], [99.0], [99.0], [99.0]])
    known = np.array([True, True, False, False, False, False])
    apart = spread(colours, known, triangles, np.zeros((0, 2), int))
    assert apart[2] == 45 and (apart[3:] == 45).all(), "what nothing leads to gets the mean"
    joined = spread(colours, np.array([True, True, False, False, False, True]), triangles, np.array([(2, 3)]))
    assert 45 < joined[2] < joined[3] < joined[4] + 1 < 100
    with pytest.raises(ValueError, match="no vertex has a known colour"):
        spread(colours, np.zeros(6, bool), triangles, np.zeros((0, 2), int))


# -- symmetry


@pytest.fixture(scope="module")
def lit_from_one_side():
    """Colours of a head whose own left (image right) is unseen; where both sides are seen it is 0.8 times as bright."""
    across, down, _ = template().points.T
    seen = np.where(across > 0.25, 0.0, 1.0)
    colours = np.repeat(np.where(across > 0, 96.0, 120.0)[:, None], 3, axis=1)
    return across, down, seen, colours


def test_the_unseen_side_borrows_and_nothing_else_does(lit_from_one_side):
    across, down, seen, _ = lit_from_one_side
    nobody = np.zeros(len(seen), bool)
    wanted = borrowed(seen, nobody)
    assert wanted.any() and (across[wanted] > 0.25).all()
    assert not borrowed(seen, ~nobody).any(), "hair and neck are nobody's mirror image"
    eye = (np.abs(across) < 0.36) & (np.abs(down) < 0.1) & (np.arange(len(seen)) < MESH)
    assert not wanted[eye].any(), "eyes and glasses are not borrowed"
    assert not borrowed(np.ones(len(seen)), nobody).any()


def test_borrowed_skin_is_lit_like_its_new_side(lit_from_one_side):
    across, _, seen, colours = lit_from_one_side
    triangles = np.concatenate([template().triangles + MESH])
    gain = side_gain(colours, seen, triangles)
    assert gain is not None and gain.shape == (len(seen), 3)
    near = (across < -0.05) & (np.arange(len(seen)) < MESH) & (across > -0.25)
    assert np.median(gain[near]) == pytest.approx((96 + 8) / (120 + 8), abs=0.02)
    harsh = np.where(across[:, None] > 0, 40.0, 200.0) * np.ones(3)
    assert side_gain(harsh, seen, triangles) is None, "beyond the limits nothing is borrowed"
    assert side_gain(colours, np.where(across > -0.4, 0.0, 1.0), triangles) is None, "too few places to compare"
    assert (gain >= GAIN_LIMITS[0]).all() and (gain <= GAIN_LIMITS[1]).all()


def test_a_turned_source_gets_its_far_side_from_its_near_one(stage, embedded):
    """The far cheek of a view at 30 degrees, seen from its own side, is skin like the near one, and marked a guess."""
    turned = turn(stage, Pose(30, 0))
    photo = photo_from_array(turned.image)
    face = max(embedded.faces(photo.pixels), key=lambda f: f.area)
    again = set_stage(photo, face, embedded.mesh)
    assert (again.texture.corners[..., 0] > 512).any(), "something is borrowed"
    view = turn(again, Pose(-30, 0))
    columns, rows = view.landmarks[454, :2].astype(int) + [-14, 0]
    patch = view.image[rows - 5 : rows + 5, columns - 5 : columns + 5].reshape(-1, 3).mean(0)
    cheek = turned.image[250:270, 230:250].reshape(-1, 3).mean(0)
    assert np.abs(patch - cheek).max() < 90 and patch[0] > patch[2], "skin, neither black nor background"
    assert view.valid[rows, columns] < 0.5


# -- what stays


def test_collar_and_background_stay_where_they_are(stage):
    for pose in (Pose(45, 0), Pose(-45, 0), Pose(0, -30), Pose(0, 30)):
        image = turn(stage, pose).image
        assert np.array_equal(image[-40:], stage.plate[-40:]), pose
        assert np.array_equal(image[:, :60], stage.plate[:, :60]) and np.array_equal(
            image[:, -60:], stage.plate[:, -60:]
        )


def test_the_neck_turns_less_the_lower_it_is(stage):
    head = stage.head
    still, turned = (head.posed(Pose(yaw, 0))[0] for yaw in (0, 45))
    moved = np.linalg.norm(turned - still, axis=1) / np.maximum(np.linalg.norm(still[:, [0, 2]], axis=1), 1)
    assert head.follows[:MESH].min() == 1 and head.follows.min() == 0
    assert moved[head.follows == 0].max() == 0
    low, middle = (head.follows > 0) & (head.follows < 0.3), (head.follows > 0.6) & (head.follows < 0.9)
    assert moved[low].mean() < moved[middle].mean() < moved[head.follows == 1].mean()


def test_the_head_at_its_own_pose_lies_on_its_landmarks(stage, astronaut_face):
    posed, flat = stage.head.posed(astronaut_face.pose)
    own = build_head(
        np.column_stack([flat[:MESH], posed[:MESH, 2]])[list(range(MESH)) + [0] * 10],
        astronaut_face.pose,
        np.ones((512, 512), np.float32),
        np.ones((512, 512), np.float32),
    )
    assert np.abs(own.posed(astronaut_face.pose)[1][:MESH] - flat[:MESH]).max() < 1e-6
