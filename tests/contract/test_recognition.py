"""What every recogniser must do. Files are found, not listed; one that no pack uses fails here."""

import importlib
import re
from dataclasses import replace

import numpy as np
import pytest

from sdaug import plugins
from sdaug.face.photo import read_photo
from sdaug.recognition import AbstractRecogniser

RECOGNISERS = plugins.names("sdaug.recognition")


@pytest.fixture
def pack(request, recogniser_name):
    """The pack that holds the recogniser; the insightface one only if it must be."""
    own = request.getfixturevalue("embedded")
    if recogniser_name in own.facts["recognisers"]:
        return own
    return request.getfixturevalue("arcface")


@pytest.fixture
def recogniser(pack, recogniser_name):
    (found,) = (r for r in pack.recognisers if r.name == recogniser_name)
    return found


@pytest.fixture
def embed(pack, recogniser):
    def vector(image: np.ndarray) -> np.ndarray:
        return recogniser.embed(image, pack.largest(image))

    return vector


every_recogniser = pytest.mark.parametrize("recogniser_name", RECOGNISERS)


def mirrored(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


def test_there_is_one_that_needs_no_download():
    assert "dlib_resnet" in RECOGNISERS


@every_recogniser
def test_a_file_defines_one_recogniser_of_its_name(recogniser_name):
    module = importlib.import_module(f"sdaug.recognition.{recogniser_name}")
    classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, AbstractRecogniser)]
    (final,) = (c for c in classes if c is not AbstractRecogniser)
    assert final.name == recogniser_name and final.metric in ("cosine", "euclidean")


@every_recogniser
def test_a_vector_has_the_declared_length_and_repeats(recogniser, embed, astronaut):
    vector = embed(astronaut.pixels)
    assert vector.shape == (recogniser.dim,) and vector.dtype == np.float32 and np.isfinite(vector).all()
    assert np.array_equal(vector, embed(astronaut.pixels))
    assert re.fullmatch("[0-9a-f]{64}", recogniser.sha256)
    norm = float(np.linalg.norm(vector))
    assert (abs(norm - 1) < 2e-4) if recogniser.metric == "cosine" else norm > 0.5


@every_recogniser
def test_similarity_is_highest_with_oneself_and_symmetric(recogniser, embed, astronaut, views):
    own, turned = embed(astronaut.pixels), embed(views[5].image)
    assert recogniser.similarity(own, own) == pytest.approx(1.0, abs=1e-5)
    assert recogniser.similarity(own, turned) < 0.9 and not np.allclose(own, turned)
    assert recogniser.similarity(own, turned) == pytest.approx(recogniser.similarity(turned, own))


@every_recogniser
def test_a_mirrored_photo_is_the_same_person(recogniser, embed, astronaut):
    assert recogniser.similarity(embed(astronaut.pixels), embed(mirrored(astronaut.pixels))) > 0.5


@every_recogniser
def test_colours_matter(recogniser, embed, pack, astronaut):
    """A picture with red and blue exchanged is further from the mirrored photo than the right one is."""
    face = pack.largest(astronaut.pixels)
    other = embed(mirrored(astronaut.pixels))
    right = recogniser.embed(astronaut.pixels, face)
    wrong = recogniser.embed(np.ascontiguousarray(astronaut.pixels[..., ::-1]), face)
    assert recogniser.similarity(right, other) > recogniser.similarity(wrong, other) + 0.01


@every_recogniser
def test_another_person_is_less_alike_than_the_same(recogniser, embed, faces):
    subjects = ["001", "002", "003", "004", "005", "006", "007", "008", "009", "010"]
    neutral, smiling = (
        [embed(read_photo(faces / "london" / f"{s}_{look}.jpg").pixels) for s in subjects]
        for look in ("neutral", "smiling")
    )
    scores = np.array([[recogniser.similarity(a, b) for b in smiling] for a in neutral])
    mated, non_mated = np.diag(scores), scores[~np.eye(len(subjects), dtype=bool)]
    assert mated.min() > non_mated.max() and mated.mean() > non_mated.mean() + 0.3


def test_strangers_fall_below_dlibs_own_threshold(embedded, astronaut, astronaut_face, faces):
    """Its threshold is no guarantee: one stranger in thirty here lies just above it."""
    (dlib,) = embedded.recognisers
    own = dlib.embed(astronaut.pixels, astronaut_face)
    scores = []
    for path in sorted((faces / "london").glob("*_neutral.jpg"))[:12]:
        pixels = read_photo(path).pixels
        scores.append(dlib.similarity(own, dlib.embed(pixels, embedded.faces(pixels)[0])))
    assert np.mean(scores) < -0.1 and max(scores) < 0.2 and np.mean(np.array(scores) < 0) > 0.8, scores


def test_dlib_is_compared_by_distance_not_by_angle(embedded):
    (dlib,) = embedded.recognisers
    a, b = np.zeros(128, np.float32), np.zeros(128, np.float32)
    b[3] = 0.6
    assert dlib.similarity(a, b) == pytest.approx(0, abs=1e-6)
    assert dlib.similarity(a, b / 2) == pytest.approx(0.5)
    assert dlib.similarity(a, 2 * b) == pytest.approx(-1)


def test_dlib_reads_a_face_without_landmarks_by_its_own_points(embedded, astronaut, astronaut_face):
    (dlib,) = embedded.recognisers
    bare = dlib.embed(astronaut.pixels, replace(astronaut_face, landmarks=None, pose=None))
    assert dlib.similarity(bare, dlib.embed(astronaut.pixels, astronaut_face)) > 0.5


def test_the_face_packs_arcface_has_128_numbers_and_knows_who_is_who(arcface, astronaut, faces):
    own = arcface.recognisers[0]
    assert (own.name, own.metric, own.dim) == ("arcface", "cosine", 128)
    vectors = []
    for path in (None, faces / "london" / "001_neutral.jpg"):
        pixels = astronaut.pixels if path is None else read_photo(path).pixels
        vectors.append(own.embed(pixels, arcface.faces(pixels)[0]))
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)
    assert own.similarity(*vectors) == pytest.approx(float(vectors[0] @ vectors[1]))
    assert own.similarity(*vectors) < 0.5


def test_arcface_is_what_insightface_itself_makes_of_the_photo(arcface, astronaut, astronaut_bgr):
    """Alignment and channel order, both: insightface takes BGR."""
    from insightface.app.common import Face as InsightFace

    own, (face,) = arcface.recognisers[0], arcface.faces(astronaut.pixels)
    theirs = own._network.get(astronaut_bgr, InsightFace(kps=face.five_points))
    theirs = theirs / np.linalg.norm(theirs)
    assert own.similarity(own.embed(astronaut.pixels, face), theirs) > 0.999
