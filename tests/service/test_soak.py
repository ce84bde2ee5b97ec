"""That the service's long proofs can fail. They themselves are in test_process.py, and in full in `make soak`."""

import random

import pytest

from sdaug.soak.service_fuzz import Fuzz
from sdaug.soak.service_kills import CASES, _not_whole, moments
from sdaug.soak.service_load import LIMITS_S, STATUS_P99_S, Load, judged, spread
from sdaug.soak.service_server import Server


def test_kills_are_spread_over_every_kind_of_deed():
    found = list(moments(30))
    assert {(m.victim, m.deed) for m in found} == set(CASES) and [m.number for m in found] == list(range(1, 31))
    assert min(m.share for m in found) < 0.2 and max(m.share for m in found) > 1 and found == list(moments(30))


class Answer:
    """What a client gets."""

    def __init__(self, status: int, body: dict, headers: dict | None = None):
        self.status_code, self.body, self.headers, self.text = status, body, headers or {}, str(body)

    def json(self) -> dict:
        return self.body


class Http:
    """A service that answers `answers` in turn."""

    def __init__(self, *answers: Answer):
        self.answers = iter(answers)

    def post(self, *_, **__) -> Answer:
        return next(self.answers)

    get = post


def listed(*people: str) -> Answer:
    return Answer(200, {"persons": [{"person_id": p} for p in people], "next": None})


@pytest.mark.parametrize(
    "answers, stored, what",
    [
        ([Answer(500, {"code": "internal_error"})], [], "500 internal_error"),
        ([Answer(503, {"code": "busy"})], [], "503 busy, Retry-After None"),
        ([Answer(503, {"code": "worker_crashed"}, {"Retry-After": "0"})], [], "503 worker_crashed, Retry-After 0"),
        ([Answer(200, {"person_id": "a"}), Answer(200, {"person_id": "b"})], ["a"], "asked again: 200"),
        ([Answer(200, {"person_id": "a"})] * 2, [], "0 are stored, 1 were answered"),
        ([Answer(200, {"person_id": "a"})] * 2, ["a", "b"], "2 are stored, 1 were answered"),
    ],
)
def test_the_crowd_notices(answers, stored, what):
    load = Load()
    load.ask(Http(*answers), b"", 5)
    load.compare(Http(listed(*stored)))
    assert any(problem.startswith(what) for problem in load.problems), load.problems
    assert load.facts()["passed"] is False


def test_the_fuzzer_notices_a_breach(running, monkeypatch):
    """A description that promises less than the service does."""
    import schemathesis

    raw = running.http.get("/openapi.json").json()
    del raw["paths"]["/api/persons/{person_id}"]["get"]["responses"]["404"]
    operation = schemathesis.openapi.from_dict(raw)["/api/persons/{person_id}"]["GET"]
    server = Server(running.data)
    run = Fuzz(server, 0)
    case = operation.Case(path_parameters={"person_id": "0" * 32})
    monkeypatch.setattr(type(case), "call", lambda *_, **__: answered(running, f"/api/persons/{'0' * 32}"))
    run.ask(case)
    assert list(run.problems) == ["GET /api/persons/{person_id}: UndefinedStatusCode"]


def answered(running, path):
    from schemathesis import Response

    return Response.from_any(running.http.get(path))


def test_a_person_of_whom_a_part_is_missing_is_noticed():
    person = {"person_id": "a", "embeddings_created": 1}
    gone, there = Answer(404, {}), Answer(200, {"samples": [{}]})
    assert _not_whole(Http(gone, there), person) == ["of a person who is listed, bundle 404, record 200"]


def test_a_spread_is_by_nearest_rank():
    times = [n / 100 for n in range(1, 101)]
    random.Random(0).shuffle(times)
    assert spread(times) == {"p50": 0.5, "p99": 0.99, "max": 1.0} and spread([]) == {}


@pytest.mark.parametrize("late", [None, "nine variations", "use_augmentation=false", "status during a generation"])
def test_a_limit_that_is_exceeded_is_a_failure(late):
    """A median of an enrolment, a 99th percentile of the status; what lies beyond those is reported alone."""
    found = {name: {"p50": limit, "p99": 9 * limit, "limit": limit} for name, limit in LIMITS_S.items()}
    found["status during a generation"] = {"p50": STATUS_P99_S, "p99": STATUS_P99_S, "limit": STATUS_P99_S}
    if late:
        found[late] |= {"p99" if "status" in late else "p50": found[late]["limit"] * 1.01}
    answer = judged(found)
    assert answer["passed"] is (late is None)
    assert [name for name, good in answer["in_time"].items() if not good] == ([late] if late else [])


def test_a_limit_of_the_command_is_checked(sdaug, tmp_path):
    unknown = sdaug("serve", "--limit", "face_que=3", "--data", tmp_path / "data")
    assert unknown.code == 2 and "did you mean 'face_queue'" in unknown.err
    wrong = sdaug("serve", "--limit", "uploads=none", "--data", tmp_path / "data")
    assert wrong.code == 2 and "uploads=none" in wrong.err and not (tmp_path / "data").exists()
