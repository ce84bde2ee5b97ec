"""The control image must be what the ControlNet was trained on: its own annotator is the judge."""

import numpy as np
import pytest

from sdaug.synthesis.control import control_image


@pytest.fixture(scope="module")
def annotator():
    import controlnet_aux.mediapipe_face.mediapipe_face_common as common

    return common


@pytest.fixture(scope="module")
def mesh_landmarks(annotator, astronaut):
    """The network's own landmarks of the astronaut, found as the annotator finds them."""
    with annotator.mp_face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.5
    ) as network:
        (face,) = network.process(astronaut.pixels).multi_face_landmarks
    return face


def pixels(face, size: int = 512) -> np.ndarray:
    return np.array([(p.x * size, p.y * size, p.z * size) for p in face.landmark])


def test_it_equals_the_annotators_on_every_pixel(annotator, astronaut, mesh_landmarks):
    theirs = annotator.generate_annotation(astronaut.pixels, 1, 0.5)
    ours = control_image(pixels(mesh_landmarks))
    assert ours.shape == (512, 512, 3) and ours.dtype == np.uint8
    assert len(np.unique(theirs.reshape(-1, 3), axis=0)) == 9, "eight colours on black"
    agree = (ours == theirs).all(2)
    assert agree.all(), f"{100 * agree.mean():.3f} % of the pixels agree"


@pytest.mark.parametrize("shift", [(0.45, 0.0), (-0.42, 0.1), (0.0, -0.16), (0.1, 0.7)])
def test_lines_that_leave_the_image_are_left_out_as_the_annotator_does(annotator, mesh_landmarks, shift):
    moved = type(mesh_landmarks)()
    moved.CopyFrom(mesh_landmarks)
    for point in moved.landmark:
        point.x, point.y = point.x + shift[0], point.y + shift[1]
    theirs = np.zeros((512, 512, 3), np.uint8)
    annotator.mp_drawing.draw_landmarks(
        theirs,
        moved,
        connections=annotator.face_connection_spec.keys(),
        landmark_drawing_spec=None,
        connection_drawing_spec=annotator.face_connection_spec,
    )
    annotator.draw_pupils(theirs, moved, annotator.iris_landmark_spec, 2)
    ours = control_image(pixels(moved))
    assert 0 < ours.any(2).sum() < control_image(pixels(mesh_landmarks)).any(2).sum()
    assert np.array_equal(ours, theirs[..., ::-1])


def test_it_scales_with_its_size(mesh_landmarks):
    small, large = control_image(pixels(mesh_landmarks, 256), 256), control_image(pixels(mesh_landmarks, 512), 512)
    assert small.shape == (256, 256, 3)
    places = [np.argwhere(image.any(2)).mean(0) / len(image) for image in (small, large)]
    assert np.allclose(*places, atol=0.01)
