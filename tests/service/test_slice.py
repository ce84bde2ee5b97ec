"""From a photo to a person, a bundle, and nothing."""

import hashlib
import io
import zipfile

from sdaug.enrolment.verify import check_files


def test_enrol_list_read_bundle_delete(running, photo):
    answer = running.enrol(photo, name="Ayesha Khan", cnic="35202-1234567-9")
    assert answer.status_code == 200, answer.text
    enrolled = answer.json()
    assert set(enrolled) == {
        "success", "message", "person_id", "embeddings_created", "augmentation_breakdown", "rejected", "warnings",
        "degraded", "bundle", "duplicates", "not_evaluated", "request_id",
    }  # fmt: skip
    assert enrolled["message"] == "Successfully enrolled Ayesha Khan"
    assert enrolled["augmentation_breakdown"] == {"original": 1, "traditional": 0, "stable_diffusion": 0}
    person_id = enrolled["person_id"]

    (listed,) = [p for p in running.http.get("/api/persons").json()["persons"] if p["person_id"] == person_id]
    assert (listed["name"], listed["national_id_last4"]) == ("Ayesha Khan", "5679")
    detail = running.http.get(f"/api/persons/{person_id}").json()
    assert [s["origin"] for s in detail["samples"]] == ["captured"]

    bundle = running.http.get(f"/api/persons/{person_id}/bundle")
    assert hashlib.sha256(bundle.content).hexdigest() == enrolled["bundle"]["sha256"]
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        vectors, manifest = check_files({name: archive.read(name) for name in archive.namelist()})
    assert (manifest.subject, vectors.shape) == (person_id, (1, 128))

    assert running.http.delete(f"/api/persons/{person_id}").json()["deleted"] == person_id
    for path in ("", "/bundle"):
        gone = running.http.get(f"/api/persons/{person_id}{path}")
        assert (gone.status_code, gone.json()["code"]) == (404, "person_not_found")
    assert running.http.delete(f"/api/persons/{person_id}").status_code == 404


def test_the_default_enrolment_has_nine_variations_each_judged(running, photo):
    enrolled = running.enrol(photo, use_augmentation="true").json()
    counts = enrolled["augmentation_breakdown"]
    assert counts["original"] == 1 and counts["stable_diffusion"] == 0
    assert counts["traditional"] + len(enrolled["rejected"]) == 9
    assert counts["traditional"] >= 7
    assert all(r["kind"] == "traditional" and r["reasons"] for r in enrolled["rejected"])
    assert sum(counts.values()) == enrolled["embeddings_created"]


def test_the_same_national_id_is_a_conflict_and_the_same_face_is_reported(running, photo):
    cnic = running.new_cnic()
    first = running.enrol(photo, cnic=cnic).json()
    before = running.persons()
    again = running.enrol(photo, cnic=cnic.replace("-", ""))
    assert (again.status_code, again.json()["code"]) == (409, "already_enrolled")
    assert running.persons() == before
    other = running.enrol(photo).json()
    assert first["person_id"] in {d["person_id"] for d in other["duplicates"]} and other["not_evaluated"] == []


def test_without_a_band_duplicates_are_said_to_be_unknown(running, photo, monkeypatch):
    running.enrol(photo)
    monkeypatch.setitem(running.service.recogniser, "same_person", None)
    answer = running.enrol(photo).json()
    assert (answer["duplicates"], answer["not_evaluated"]) == ([], ["duplicates"])
