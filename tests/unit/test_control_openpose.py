"""Openpose's face dots: drawn as its annotator draws them, at the points its layout names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sdaug.config import OPENPOSE_CONTROLNET, ModelSettings
from sdaug.face.pose import reference_shape
from sdaug.synthesis.control import control_image
from sdaug.synthesis.control_openpose import POINTS, openpose

MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1), 69, 68,
]  # fmt: skip
"""iBUG's left-right pairs, written down from its own figure."""


@pytest.fixture(scope="module")
def annotator():
    from controlnet_aux.open_pose import util

    return util


def theirs(annotator, landmarks: np.ndarray, size: int) -> np.ndarray:
    """The annotator's own drawing of the chosen landmarks, in its 0..1 coordinates."""
    points = [annotator.Keypoint(x / size, y / size) for x, y in landmarks[list(POINTS), :2].tolist()]
    return annotator.draw_facepose(np.zeros((size, size, 3), np.uint8), points)


def mid_pixel(landmarks: np.ndarray) -> np.ndarray:
    """Away from whole numbers, where the annotator's division and multiplication decide by rounding."""
    return np.floor(landmarks) + 0.5


@pytest.mark.parametrize("index", [0, 1, 3, 9])
def test_it_equals_the_annotators_drawing_of_a_turned_head(annotator, views, index):
    landmarks = mid_pixel(views[index].landmarks)
    ours = openpose(landmarks)
    assert ours.shape == (512, 512, 3) and ours.dtype == np.uint8
    assert np.array_equal(ours, theirs(annotator, landmarks, 512)) and ours.any(2).sum() > 1000


@hypothesis_settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([64, 384, 512]))
def test_it_equals_the_annotators_drawing_of_any_points(annotator, seed, size):
    landmarks = mid_pixel(np.random.default_rng(seed).uniform(-0.3 * size, 1.3 * size, (478, 3)))
    assert np.array_equal(openpose(landmarks, size), theirs(annotator, landmarks, size))


def test_the_layout_has_ibugs_symmetry():
    assert len(POINTS) == len(set(POINTS)) == 70 and sorted(MIRROR) == list(range(70))
    shape = reference_shape()
    for point, partner in zip(POINTS[:68], [POINTS[m] for m in MIRROR[:68]], strict=True):
        assert np.allclose(shape[point] * [-1, 1, 1], shape[partner], atol=0.06), (point, partner)
    assert [POINTS[m] for m in MIRROR[68:]] == [473, 468]


def test_every_group_runs_the_way_ibugs_does(astronaut_face):
    x, y = astronaut_face.landmarks[list(POINTS), :2].T
    assert (np.diff(x[:17]) > -1).all(), "jaw, left to right, pixels"
    assert (np.diff(y[:9]) > 0).all() and (np.diff(y[8:17]) < 0).all(), "down to the chin and up again"
    assert (np.diff(x[17:27]) > 0).all(), "brows, left to right"
    assert (np.diff(y[27:31]) > 0).all() and (np.diff(x[31:36]) > 0).all(), "nose, down and then left to right"
    for ring in (slice(36, 42), slice(42, 48), slice(48, 60), slice(60, 68)):
        area = np.sum(x[ring] * np.roll(y[ring], -1) - y[ring] * np.roll(x[ring], -1))
        assert area > 0 and x[ring][0] == x[ring].min(), "clockwise on the screen from the image's left"
    for pupil, ring in ((68, slice(36, 42)), (69, slice(42, 48))):
        assert x[ring].min() < x[pupil] < x[ring].max() and y[ring].min() < y[pupil] < y[ring].max()


def test_the_controlnet_that_is_named_decides_the_drawing(views):
    landmarks = views[1].landmarks
    dots, lines = (control_image(landmarks, 512, kind) for kind in ("openpose", "mediapipe_face"))
    assert set(np.unique(dots)) == {0, 255} and not np.array_equal(dots, lines)
    assert np.array_equal(lines, control_image(landmarks))
    named = ModelSettings(controlnet_id=OPENPOSE_CONTROLNET)
    assert (named.drawn_control, named.weights_subfolder) == ("openpose", None)
    assert (ModelSettings().drawn_control, ModelSettings().weights_subfolder) == ("mediapipe_face", "diffusion_sd15")
    assert ModelSettings(controlnet_id="a/folder", control_kind="openpose").drawn_control == "openpose"


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10_000), st.sampled_from(["openpose", "mediapipe_face"]), st.sampled_from([32, 257, 512]),
    st.floats(-3, 3), st.floats(0.1, 4),
)  # fmt: skip
def test_a_control_image_of_any_landmarks_is_an_image(seed, kind, size, shift, spread):
    """Behind, beside and across the border: no point may raise or leave the canvas."""
    points = np.random.default_rng(seed).normal(0.5 + shift, spread, (478, 3)) * size
    image = control_image(points.astype(np.float32), size, kind)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    if shift < -2 and spread < 0.5:
        far = points[:, :2].max() < -4
        assert not far or not image.any()
