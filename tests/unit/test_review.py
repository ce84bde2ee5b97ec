"""The form of the notebook `enrol`, its buttons pressed by the methods they call."""

from datetime import datetime, timezone

import pytest
from PIL import Image

from sdaug.config import RunSettings
from sdaug.enrol import reviewed
from sdaug.enrolment.verify import load_embeddings
from sdaug.photos import photo_path
from sdaug.review import EnrolmentForm
from sdaug.types import Reason


@pytest.fixture
def form(tmp_path):
    made = EnrolmentForm(RunSettings(backend="warp"), "astronaut", "subject-1", tmp_path / "bundle")
    made.angles.value = 3
    yield made
    made.close()


def switches(form) -> list:
    return [tile.children[2] for tile in form.grid.children if len(tile.children) == 3]


def test_what_is_switched_off_is_not_enrolled_and_stays_in_the_manifest(form):
    record = form.generate()
    assert form.progress.value == 3 and len(form.grid.children) == 3
    assert len(switches(form)) == len(record.accepted) == 3, "the gate accepts all three views of this photo"
    form.reject(1)
    assert form.enrol() == {"rows": 3, "by_origin": {"captured": 1, "classical": 2, "generated": 0}}
    vectors, manifest = load_embeddings(form.out)
    (refused,) = [sample for sample in manifest.samples if sample.row is None]
    assert len(vectors) == 3 and list(refused.reasons) == ["rejected_by_reviewer"] and refused.requested.yaw_deg == 45


def test_a_click_tells_what_is_wrong_where_the_person_looks(form, root):
    form.upload.value = ({"name": "x.png", "type": "image/png", "size": 3, "content": memoryview(b"abc"),
                          "last_modified": datetime.now(timezone.utc)},)  # fmt: skip
    (told,) = form.grid.children
    assert "image" in told.value and form.progress.description == "refused"
    form.subject.value = "no/good"
    form.generate()
    form._said(form.enrol)
    assert "no/good" in form.grid.children[0].value and not form.out.exists()


def test_of_a_folder_one_photo_is_picked(tmp_path):
    for name, size in (("a", 300), ("b", 400)):
        with Image.open(photo_path("astronaut")) as photo:
            photo.convert("RGB").resize((size, size)).save(tmp_path / f"{name}.png")
    form = EnrolmentForm(RunSettings(backend="warp"), str(tmp_path), "subject-1", tmp_path / "bundle")
    form.angles.value = 1
    assert form.photo.pixels.shape[0] == 300 and [name for name, _ in form.pick.options] == ["a", "b"]
    form.generate()
    form.pick.value = tmp_path / "b.png"
    assert form.photo.pixels.shape[0] == 400 and form.record is None and form.grid.children == ()
    form.close()


def test_a_reviewer_cannot_accept_what_the_gate_refused(warp_record):
    indices = [angle.index for angle in warp_record.angles]
    assert reviewed(warp_record, []) == warp_record
    none = reviewed(warp_record, indices)
    assert not none.accepted
    for before, after in zip(warp_record.angles, none.angles, strict=True):
        wanted = (Reason.REJECTED_BY_REVIEWER,) if before.accepted else before.judgement.reasons
        assert after.judgement.reasons == wanted and after.judgement.similarity == before.judgement.similarity
