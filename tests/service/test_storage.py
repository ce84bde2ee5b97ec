"""Whole or not at all, once and not twice, and gone when deleted."""

import contextlib
import datetime
import hashlib
import io
import logging
import re
import threading
import zipfile

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text, update
from sqlalchemy.exc import OperationalError

from sdaug.service import tables
from sdaug.service.api_keys import create_key, revoke_key
from sdaug.service.audit import pseudonym
from sdaug.service.clock import now, stamp
from sdaug.service.database import open_database
from sdaug.service.people import People
from tests.service.test_previews import begin, until


def everything(running) -> bytes:
    """Every byte under the data folder."""
    return b"".join(path.read_bytes() for path in sorted(running.data.rglob("*")) if path.is_file())


def look_alikes(running, photo) -> set[str]:
    """Who is reported as a duplicate of the person in the photo, who is enrolled for it and deleted again."""
    enrolled = running.enrol(photo).json()
    assert running.http.delete(f"/api/persons/{enrolled['person_id']}").status_code == 200
    return {other["person_id"] for other in enrolled["duplicates"]}


def test_the_same_key_enrols_once_and_answers_alike(running, photo):
    cnic, before = running.new_cnic(), running.persons()
    headers = {"Idempotency-Key": "attempt-1"}
    first = running.enrol(photo, cnic=cnic, headers=headers)
    again = running.enrol(photo, cnic=cnic, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"
    one, two = first.json(), again.json()
    assert one.pop("request_id") != two.pop("request_id") and one == two
    assert running.persons() == before + 1
    other = running.enrol(photo, cnic=cnic, name="Somebody Else", headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    odd = running.enrol(photo, headers={"Idempotency-Key": "x" * 300})
    assert (odd.status_code, odd.json()["code"]) == (400, "bad_idempotency_key")
    running.http.delete(f"/api/persons/{one['person_id']}")
    assert running.enrol(photo, cnic=cnic, headers=headers).json()["person_id"] != one["person_id"]


def test_a_refused_request_uses_no_key_up(running, photo):
    headers, cnic = {"Idempotency-Key": "attempt-2"}, running.new_cnic()
    assert running.enrol(b"no picture", cnic=cnic, headers=headers).status_code == 415
    assert running.enrol(photo, cnic=cnic, headers=headers).status_code == 200


@pytest.mark.parametrize("table", ["templates", "bundles", "answers", "audit"])
def test_an_enrolment_that_fails_half_way_leaves_nothing(running, photo, table):
    """Whichever table the write fails at."""

    def fail(connection, cursor, statement, *rest):
        if statement.startswith(f"INSERT INTO {table}"):
            raise OperationalError(statement, None, OSError("the disk is full, says the test"))

    before, cnic = running.persons(), running.new_cnic()
    event.listen(running.service.engine, "before_cursor_execute", fail)
    try:
        answer = running.enrol(photo, cnic=cnic, headers={"Idempotency-Key": f"half-{table}"})
    finally:
        event.remove(running.service.engine, "before_cursor_execute", fail)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "disk" not in answer.text
    assert running.persons() == before
    with running.service.engine.connect() as connection:
        for other in ("templates", "bundles", "answers"):
            orphans = f"SELECT count(*) FROM {other} WHERE person_id NOT IN (SELECT id FROM persons)"
            assert connection.execute(text(orphans)).scalar() == 0
    assert running.enrol(photo, cnic=cnic).status_code == 200


def test_what_is_stored_cannot_be_read_without_the_key(running, photo):
    enrolled = running.enrol(photo, name="Zubaida Unverwechselbar", cnic="99887-7665544-3").json()
    bundle = running.http.get(f"/api/persons/{enrolled['person_id']}/bundle").content
    stored = everything(running)
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    vectors = parts["embeddings.safetensors"][-512:]
    for what, found in {
        "name": b"Zubaida",
        "national id": b"9988776655443",
        "its plain hash": hashlib.sha256(b"9988776655443").hexdigest().encode(),
        "vector": vectors,
        "photo": photo[1000:1064],
        "picture": parts["images/00-source.png"][1000:1064],
        "manifest": b"sdaug.enrolment/1",
    }.items():
        assert found not in stored, what
    # Four digits are found in any kilobyte of hexadecimal digits.
    assert not re.search(rb"(?<![0-9a-f])5443(?![0-9a-f])", stored), "last four"
    assert enrolled["person_id"].encode() in stored, "the search finds what is there"


def test_a_deleted_person_leaves_no_byte(serve, photo):
    """Database, its log and files: searched for ids, hashes and every sealed column; index, job and preview: asked."""
    running = serve()
    kept = running.enrol(photo).json()["person_id"]
    job_id = begin(running, photo, 3)
    views = [view["image"] for view in until(running, job_id, "done")["previews"] if view["image"]]
    picture = running.http.get(views[0]).content
    never = {"photo": photo[1000:1040], "preview": job_id.encode(), "its picture": picture[1000:1040]}
    enrolled = running.enrol(photo, preview_id=job_id, headers={"Idempotency-Key": "gone"}).json()
    person_id = enrolled["person_id"]
    assert enrolled["augmentation_breakdown"]["original"] < enrolled["embeddings_created"], "views were enrolled"
    assert look_alikes(running, photo) == {kept, person_id}
    with running.service.engine.connect() as connection:
        row = connection.execute(tables.persons.select().where(tables.persons.c.id == person_id)).one()
        traces = {"id": person_id.encode(), "national id": row.national_id_hash.encode(), "record": row.record[20:60]}
        for table in (tables.templates, tables.bundles, tables.answers):
            sealed = connection.execute(table.select().where(table.c.person_id == person_id)).one().sealed
            middle = len(sealed) // 2
            traces[f"{table.name} start"], traces[f"{table.name} middle"] = sealed[20:60], sealed[middle : middle + 40]
    stored = everything(running)
    # A sealed bundle spans many pages; forty bytes in one page are found as they are.
    assert {what for what, trace in traces.items() if trace not in stored} <= {"bundles middle"}
    assert {what for what, trace in never.items() if trace in stored} == set()
    assert running.http.delete(f"/api/persons/{person_id}").status_code == 200
    stored = everything(running)
    assert {what for what, trace in (traces | never).items() if trace in stored} == set()
    assert kept.encode() in stored
    assert look_alikes(running, photo) == {kept} and person_id not in running.http.get("/api/persons").text
    file = {"file": ("p.png", photo)}
    assert running.http.post("/api/compare", data={"person_id": person_id}, files=file).status_code == 404
    for address in (f"/api/jobs/{job_id}", *views):
        assert running.http.get(address).status_code == 404
    left = {path.name for path in running.data.rglob("*")}
    assert left <= {"service.db", "service.db-wal", "service.db-shm"}


def test_templates_that_do_not_open_are_left_out_and_the_service_starts(serve, photo, caplog):
    running = serve()
    ids = [running.enrol(photo).json()["person_id"] for _ in range(3)]
    with running.service.engine.begin() as connection:
        for person_id, sealed in ((ids[0], b"x" * 100), (ids[1], b"")):
            mine = tables.templates.c.person_id == person_id
            connection.execute(update(tables.templates).where(mine).values(sealed=sealed))
    again = serve()
    assert {d["person_id"] for d in again.enrol(photo).json()["duplicates"]} == {ids[2]}
    for person_id in ids[:2]:
        assert person_id not in caplog.text and pseudonym(again.service.vault, person_id) in caplog.text


def test_a_database_that_cannot_be_read_at_the_start_is_read_later(serve, photo, monkeypatch, caplog):
    monkeypatch.setattr("sdaug.service.service.RETRY_S", 0.1)
    read, failures = People.all_templates, [OperationalError("SELECT", None, OSError("locked, says the test"))]
    monkeypatch.setattr(People, "all_templates", lambda people: _raise(failures.pop()) if failures else read(people))
    assert serve().enrol(photo).status_code == 200
    assert "the templates cannot be read: OperationalError" in caplog.text and "says the test" not in caplog.text


def test_who_is_deleted_while_the_service_starts_is_compared_with_no_more(serve, photo, monkeypatch):
    running = serve()
    person_id, kept = (running.enrol(photo).json()["person_id"] for _ in range(2))
    read, was_read, deleted = People.all_templates, threading.Event(), threading.Event()

    def slow(people):
        found = read(people)
        was_read.set()
        assert deleted.wait(60)
        return found

    monkeypatch.setattr(People, "all_templates", slow)
    again = serve()
    assert was_read.wait(120)
    assert again.http.delete(f"/api/persons/{person_id}").status_code == 200
    deleted.set()
    assert {d["person_id"] for d in again.enrol(photo).json()["duplicates"]} == {kept}


def _raise(error: Exception):
    raise error


def test_retention_ends_by_itself(serve, photo):
    running = serve(retention_days=30)
    enrolled = running.enrol(photo).json()
    person = running.http.get(f"/api/persons/{enrolled['person_id']}").json()
    assert person["retention_until"] == stamp(
        datetime.datetime.fromisoformat(person["created"].replace("Z", "+00:00")) + datetime.timedelta(days=30)
    )
    portal = running.http.portal
    portal.call(running.service.sweep)
    assert running.persons() == 1
    with running.service.engine.begin() as connection:
        yesterday = stamp(now() - datetime.timedelta(days=1))
        connection.execute(update(tables.persons).values(retention_until=yesterday))
    portal.call(running.service.sweep)
    assert running.persons() == 0
    assert enrolled["person_id"].encode() not in everything(running)


def test_old_answers_are_forgotten_and_people_are_not(running, photo):
    headers, cnic = {"Idempotency-Key": "old"}, running.new_cnic()
    person_id = running.enrol(photo, cnic=cnic, headers=headers).json()["person_id"]
    old = stamp(now() - datetime.timedelta(hours=25))
    with running.service.engine.begin() as connection:
        mine = tables.answers.c.person_id == person_id
        connection.execute(update(tables.answers).where(mine).values(created=old))
    running.http.portal.call(running.service.sweep)
    again = running.enrol(photo, cnic=cnic, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "already_enrolled")
    assert running.http.get(f"/api/persons/{person_id}").status_code == 200


def test_what_a_killed_deletion_left_is_gone_at_the_next_start(serve, photo, monkeypatch):
    """Killed after the deletion was committed and before its bytes were cut off."""
    running = serve()
    person_id = running.enrol(photo).json()["person_id"]
    monkeypatch.setattr("sdaug.service.people.erase_freed", lambda engine: None)
    running.http.delete(f"/api/persons/{person_id}")
    assert person_id.encode() in everything(running)
    open_database(running.service.settings)[0].dispose()
    assert person_id.encode() not in everything(running)


def test_the_audit_log_tells_what_was_done_and_not_to_whom(running, photo):
    enrolled = running.enrol(photo, name="Nobody Known").json()
    running.http.get(f"/api/persons/{enrolled['person_id']}/bundle")
    running.http.delete(f"/api/persons/{enrolled['person_id']}")
    with running.service.engine.connect() as connection:
        lines = connection.execute(tables.audit.select().order_by(tables.audit.c.number.desc()).limit(3)).all()
    assert [line.action for line in reversed(lines)] == ["enrol", "bundle", "delete"]
    assert len({line.subject for line in lines}) == 1
    assert all(enrolled["person_id"] not in str(line) and "Nobody" not in str(line) for line in lines)


def test_the_audit_log_tells_who_compared_signed_in_and_made_keys(running, photo):
    engine, page = running.service.engine, {"X-Sdaug-Page": "1"}
    person_id = running.enrol(photo, name="Nobody Known").json()["person_id"]
    for fields in ({"person_id": person_id}, {}):
        assert running.http.post("/api/compare", data=fields, files={"file": ("p.png", photo)}).status_code == 200
    key = create_key(engine, "page")
    key_id = key.split("_")[1]
    client = TestClient(running.http.app, base_url="http://localhost", headers=page)
    client.post("/api/session", json={"key": key})
    client.delete("/api/session")
    revoke_key(engine, key_id)
    with engine.connect() as connection:
        lines = connection.execute(tables.audit.select().order_by(tables.audit.c.number.desc()).limit(7)).all()
    lines.reverse()
    who = pseudonym(running.service.vault, person_id)
    own = running.http.headers["Authorization"].split("_")[1]
    assert [(line.action, line.actor, line.subject, line.outcome) for line in lines] == [
        ("enrol", own, who, "done"),
        ("compare", own, who, "done"),
        ("compare", own, None, "done"),
        ("key_create", "command", key_id, "done"),
        ("sign_in", key_id, None, "done"),
        ("sign_out", key_id, None, "done"),
        ("key_revoke", "command", key_id, "done"),
    ]
    assert all(secret not in str(line) for line in lines for secret in (person_id, "Nobody", key.split("_", 2)[2]))


def test_the_audit_log_tells_what_was_refused(running, photo):
    running.http.post("/api/compare", headers={"Authorization": "Bearer wrong"})
    running.enrol(photo, name="<b>Mallory</b>")
    running.http.delete(f"/api/persons/{'0' * 32}")
    with running.service.engine.connect() as connection:
        lines = connection.execute(tables.audit.select().order_by(tables.audit.c.number.desc()).limit(3)).all()
    told = [(line.action, line.outcome, line.actor != "unknown", line.subject) for line in reversed(lines)]
    assert told == [
        ("refused", "POST compare 401", False, None),
        ("refused", "POST enroll 422", True, None),
        ("refused", "DELETE persons 404", True, None),
    ]


def test_logs_hold_no_name_and_no_id(running, photo, caplog):
    caplog.set_level(logging.DEBUG)
    cnic = running.new_cnic()
    enrolled = running.enrol(photo, name="Quintessa Example", cnic=cnic).json()
    with contextlib.suppress(Exception):
        running.enrol(photo, name="Quintessa Example", cnic=cnic)
    own = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore", "asyncio")))
    for private in ("Quintessa", cnic, cnic.replace("-", ""), enrolled["person_id"]):
        assert private not in own


def test_no_part_of_the_service_pickles(root):
    files = sorted((root / "src" / "sdaug" / "service").rglob("*.py"))
    assert len(files) > 30
    words = ("import pickle", "import multiprocessing", "import shelve", "joblib", "torch.load", "np.load", "eval(")
    assert [(path.name, word) for path in files for word in words if word in path.read_text(encoding="utf-8")] == []
