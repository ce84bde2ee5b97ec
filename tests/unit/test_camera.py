"""The camera of the warp: what is projected comes back, and rotations keep shapes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdaug.face.rotation import pose_of, rotation, similarity_fit
from sdaug.synthesis.head import project, unproject
from sdaug.types import Pose

clouds = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(0, 80, (40, 3)))
turns = st.builds(Pose, st.floats(-80, 80), st.floats(-60, 60), st.floats(-170, 170))
distances = st.floats(600, 5000)


@given(clouds, distances, st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(-50, 50)))
def test_what_is_unprojected_is_seen_where_it_was(points, distance, centre):
    """Image points with depth to camera space and back: x and y return, depth stays relative to the centre."""
    there = unproject(points, np.array(centre), distance)
    assert np.allclose(project(there, distance) + np.array(centre[:2]), points[:, :2], atol=1e-6)
    assert np.allclose(there[:, 2] + centre[2], points[:, 2])


@given(clouds, distances)
def test_nearer_is_larger_and_far_away_is_orthographic(points, distance):
    nearer = points - [0, 0, 20]
    grown = np.linalg.norm(project(nearer, distance), axis=1)
    assert (grown >= np.linalg.norm(project(points, distance), axis=1)).all()
    assert np.allclose(project(points, 1e9), points[:, :2], atol=1e-3)


@given(clouds, turns)
def test_turning_there_and_back_is_standing_still(points, pose):
    matrix = rotation(pose)
    assert np.allclose(points @ matrix.T @ matrix, points)
    found = pose_of(matrix)
    assert np.allclose(rotation(found), matrix, atol=1e-9)


@given(clouds, turns, st.floats(0.01, 100), st.tuples(*[st.floats(-500, 500)] * 3))
def test_a_fit_finds_the_similarity_it_was_made_with(points, pose, scale, shift):
    found, matrix, moved = similarity_fit(points, scale * points @ rotation(pose).T + shift)
    assert np.isclose(found, scale) and np.allclose(matrix, rotation(pose), atol=1e-6)
    assert np.allclose(moved, shift, atol=1e-4 * max(1, scale) + 1e-4)
