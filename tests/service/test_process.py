"""`sdaug serve` as a process of its own: the long proofs of `make soak` in small."""

import time

import pytest

from sdaug.soak.service_fuzz import fuzz
from sdaug.soak.service_kills import Kills, Moment
from sdaug.soak.service_load import crowd
from sdaug.soak.service_server import RAISED, SMALL_MODEL, Server, all_persons


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("served") / "data", *SMALL_MODEL, limits=RAISED) as running:
        yield running


@pytest.mark.slow
def test_a_crowd_is_enrolled_once_each(server):
    found = crowd(server, clients=6, seconds=3).facts()
    assert found["passed"], found
    assert found["enrolled"] >= 6 and found["told_to_wait"] == {} and found["answered_s"]["p99"] > 0
    assert {"seconds", "machine", "commit", "date"}.isdisjoint(found), "what the result file says of every part"


@pytest.mark.slow
def test_the_status_is_answered_while_a_generation_runs(server, photo):
    with server.client() as client:
        asked = client.post("/api/previews", data={"sd_num_angles": "10"}, files={"file": ("p.png", photo)})
        job = asked.json()["job_id"]
        while client.get(f"/api/jobs/{job}").json()["state"] == "queued":
            time.sleep(0.02)
        answered = 0
        while client.get("/api/sd/status").json()["busy"] and answered < 100:
            answered += 1
        client.delete(f"/api/jobs/{job}")
    assert answered == 100, "the generation held the server up"


@pytest.mark.slow
def test_kills_leave_people_whole_or_not_there(server):
    with server.client() as client:
        for person in all_persons(client):
            client.delete(f"/api/persons/{person['person_id']}")
    run = Kills(server)
    run.took = dict.fromkeys(("enrol", "enrol with variations", "delete"), 0.5)
    for moment in (
        Moment(101, "server", "enrol", 0.7),
        Moment(102, "worker", "enrol with variations", 0.5),
        Moment(103, "server", "delete", 0.02),
    ):
        assert run.problems_of(moment) == [], moment


@pytest.mark.slow
def test_made_up_requests_are_answered_as_described():
    found = fuzz(160)
    assert found["problems"] == {} and found["requests"] >= 160 and found["routes"] == 16
