"""Why a person is kept and for how long, and what is said of a photo that is worse than a view may be."""

import datetime
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

CONSENT = {"consent_purpose": "access to building A", "legal_basis": "explicit consent", "consent_reference": "30/117"}


def manifest_of(running, person_id: str) -> dict:
    data = running.http.get(f"/api/persons/{person_id}/bundle").content
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return json.loads(archive.read("manifest.json"))


def days_of(running, person_id: str) -> int:
    """How long a person is kept."""
    person = running.http.get(f"/api/persons/{person_id}").json()
    begun, ends = (datetime.datetime.strptime(person[k], "%Y-%m-%dT%H:%M:%SZ") for k in ("created", "retention_until"))
    return (ends - begun).days


@pytest.fixture(scope="module")
def dim(astronaut) -> bytes:
    out = io.BytesIO()
    Image.fromarray((astronaut.pixels * 0.2).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_consent_and_retention_go_into_the_bundle(running, photo):
    enrolled = running.enrol(photo, **CONSENT, retention_days="30").json()
    assert days_of(running, enrolled["person_id"]) == 30
    manifest = manifest_of(running, enrolled["person_id"])
    person = running.http.get(f"/api/persons/{enrolled['person_id']}").json()
    assert manifest["retention_until"] == person["retention_until"]
    assert {k: v for k, v in manifest["consent"].items() if v is not None} == {
        "purpose": "access to building A", "legal_basis": "explicit consent", "reference": "30/117",
    }  # fmt: skip
    plain = running.enrol(photo).json()
    assert manifest_of(running, plain["person_id"])["consent"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {"consent_purpose": "access"},
        {"legal_basis": "contract"},
        {"consent_reference": "30/117"},
        CONSENT | {"consent_purpose": " access"},
        CONSENT | {"legal_basis": "a\u202eb"},
        CONSENT | {"consent_reference": "x" * 201},
        CONSENT | {"consent_reference": "x'; DROP TABLE persons;--"},
        CONSENT | {"legal_basis": "<script>alert(1)</script>"},
        CONSENT | {"consent_purpose": "access \U0001f600"},
        {"retention_days": "0"},
        {"retention_days": "forever"},
    ],
)
def test_terms_that_cannot_be_used_are_refused(running, photo, fields):
    before = running.persons()
    answer = running.enrol(photo, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
    assert "access" not in answer.text and running.persons() == before


def test_the_service_s_retention_is_the_longest(serve, photo):
    running = serve(retention_days=30)
    longer = running.enrol(photo, retention_days="31")
    assert (longer.status_code, longer.json()["code"]) == (422, "invalid_field")
    assert "at most 30 days" in longer.json()["detail"] and running.persons() == 0
    shorter = running.enrol(photo, retention_days="2").json()
    assert days_of(running, shorter["person_id"]) == 2
    assert days_of(running, running.enrol(photo).json()["person_id"]) == 30


def test_a_poor_photo_is_enrolled_and_reported(running, photo, dim):
    assert running.enrol(photo).json()["warnings"] == []
    poor = running.enrol(dim)
    assert poor.status_code == 200, poor.text
    (warning,) = poor.json()["warnings"]
    assert warning["photo"] == 0 and set(warning["reasons"]) & {"too_dark", "under_exposed", "low_dynamic_range"}


def test_of_several_photos_the_poor_one_is_named(running, photo, dim):
    answer = running.http.post(
        "/api/enroll/multiple",
        data={"name": "Ayesha Khan", "cnic": running.new_cnic(), "use_augmentation": "false"},
        files=[("files", ("a.png", photo)), ("files", ("b.png", dim))],
    ).json()
    assert [warning["photo"] for warning in answer["warnings"]] == [1]
    assert answer["augmentation_breakdown"]["original"] == 2
