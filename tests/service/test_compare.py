"""A photo against one person and against all, with and without what was added."""

import io

import numpy as np
import pytest
from PIL import Image

from sdaug.service.index import Index, similarities
from sdaug.service.people import Templates


def compare(running, photo, **fields):
    return running.http.post("/api/compare", data=fields, files={"file": ("p.png", photo)})


@pytest.fixture(scope="module")
def enrolled(running, photo) -> str:
    return running.enrol(photo, use_augmentation="true", name="Compared Person").json()["person_id"]


@pytest.fixture(scope="module")
def probe(astronaut) -> bytes:
    """The same person, in another light and scale."""
    pixels = np.clip(astronaut.pixels.astype(np.float32) * 1.15 + 5, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((400, 400)).save(out, "JPEG", quality=80)
    return out.getvalue()


def test_one_to_one(running, enrolled, astronaut):
    out = io.BytesIO()
    Image.fromarray(astronaut.pixels).save(out, "PNG")
    answer = compare(running, out.getvalue(), person_id=enrolled)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["mode"], found["compared"], found["recogniser"]) == ("1:1", 1, "dlib_resnet")
    (candidate,) = found["candidates"]
    alone, added = candidate["without_augmentation"], candidate["with_augmentation"]
    assert (alone["templates"], candidate["without_sd"]["templates"]) == (1, added["templates"])
    assert added["templates"] > 5
    assert added["similarity"] >= alone["similarity"] > 0.7 and alone["match"]


def test_one_to_all_puts_the_person_first(running, enrolled, probe):
    answer = running.http.post("/api/compare", data={"top": "50"}, files={"file": ("p.jpg", probe)}).json()
    assert answer["mode"] == "1:N" and answer["compared"] == running.persons()
    scores = [c["with_augmentation"]["similarity"] for c in answer["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert enrolled in {c["person_id"] for c in answer["candidates"]}
    assert all(round(score, 3) == score for score in scores)


def test_an_unknown_person_and_a_photo_of_nobody(running, photo):
    unknown = compare(running, photo, person_id="0" * 32)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "person_not_found")
    assert compare(running, b"", person_id="0" * 32).status_code == 422
    assert compare(running, photo, person_id="../x").status_code == 422


def test_strangers_are_no_match(running, faces, photo):
    path = sorted((faces / "london").glob("*_neutral.jpg"))[0]
    other = running.http.post(
        "/api/enroll",
        data={"name": "Somebody Else", "cnic": running.new_cnic(), "use_augmentation": "false"},
        files={"file": (path.name, path.read_bytes())},
    ).json()
    (candidate,) = compare(running, photo, person_id=other["person_id"]).json()["candidates"]
    assert not candidate["with_augmentation"]["match"]
    running.http.delete(f"/api/persons/{other['person_id']}")


def test_the_index_compares_like_with_like_and_counts_arms():
    unit = np.eye(4, dtype=np.float32)
    kept = Templates(unit[:3], ("captured", "classical", "generated"), "own")
    index = Index({"a": kept, "b": Templates(unit[3:], ("captured",), "other")}, "own", "cosine")
    (found,) = index.compare(unit[2])
    assert (found.without_augmentation.similarity, found.without_sd.similarity) == (0, 0)
    assert (found.with_augmentation.similarity, found.with_augmentation.templates) == (1, 3)
    assert index.not_comparable == 1
    assert index.alike(unit[:1], 0.9) == [("a", 1.0)] and index.alike(unit[1:2], 0.9) == []
    with pytest.raises(ValueError, match="another recogniser"):
        index.compare(unit[0], "b")
    index.drop("a")
    with pytest.raises(KeyError):
        index.compare(unit[0], "a")
    assert index.captured(10).shape == (0, 0)


def test_euclidean_similarity_is_the_recognisers_own(embedded):
    own = embedded.recognisers[0]
    rows = np.random.default_rng(0).normal(size=(3, own.dim)).astype(np.float32) * 0.05
    scores = similarities(rows[0], rows, own.metric)
    assert scores == pytest.approx([own.similarity(rows[0], row) for row in rows], abs=1e-6)


def test_an_insightface_pack_knows_people_by_another_photo(serve, arcface_folder, faces):
    running = serve(run={"pack": arcface_folder})
    people = {}
    for number in ("001", "002", "003"):
        data = (faces / "london" / f"{number}_neutral.jpg").read_bytes()
        answer = running.http.post(
            "/api/enroll",
            data={"name": "Ayesha Khan", "cnic": running.new_cnic(), "use_augmentation": str(number == "001")},
            files={"file": ("p.jpg", data)},
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["duplicates"] == []
        people[number] = answer.json()["person_id"]
    for number, person_id in people.items():
        data = (faces / "london" / f"{number}_smiling.jpg").read_bytes()
        found = running.http.post("/api/compare", files={"file": ("p.jpg", data)}).json()
        assert (found["recogniser"], found["compared"], found["threshold"]) == ("arcface", 3, 0.26)
        first, *others = found["candidates"]
        assert first["person_id"] == person_id and first["without_augmentation"]["match"]
        assert not any(other["with_augmentation"]["match"] for other in others)
