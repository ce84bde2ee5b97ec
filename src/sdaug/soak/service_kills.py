"""`kill -9` of the server or a worker at random moments: afterwards a person is wholly there or not at all."""

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import httpx2 as httpx

from sdaug.soak.service_server import (
    PATIENT,
    SMALL_MODEL,
    Server,
    all_persons,
    bundle_rows,
    enrol,
    enrol_at_last,
    photo,
    told,
    workers_of,
)

Victim = Literal["server", "worker"]
Deed = Literal["enrol", "enrol with variations", "enrol with SD", "delete"]

FIELDS: dict[Deed, dict[str, str]] = {
    "enrol": {},
    "enrol with variations": {"use_augmentation": "true"},
    "enrol with SD": {"use_sd_augmentation": "true", "sd_num_angles": "1"},
}
CASES: tuple[tuple[Victim, Deed], ...] = (
    ("server", "enrol"),
    ("worker", "enrol"),
    ("server", "enrol with variations"),
    ("worker", "enrol with variations"),
    ("server", "delete"),
    ("server", "enrol with SD"),
    ("worker", "enrol with SD"),
)


@dataclass(frozen=True)
class Moment:
    """share: of what the deed took undisturbed, when the kill comes; more than 1 is after its end."""

    number: int
    victim: Victim
    deed: Deed
    share: float


def moments(count: int, seed: int = 0) -> Iterator[Moment]:
    """`count` of them, each kind in turn."""
    draw = random.Random(seed)
    for number, (victim, deed) in zip(range(1, count + 1), cycle(CASES), strict=False):
        yield Moment(number, victim, deed, draw.uniform(0, 1.15))


class Kills:
    """A run against `server`. stored: the person of each number who must be there; unsure: numbers of which nobody was
    told whether they are."""

    def __init__(self, server: Server):
        self.server, self.photo = server, photo()
        self.stored: dict[int, str] = {}
        self.took: dict[Deed, float] = {}
        self.outcomes: list[dict[str, Any]] = []

    def warm(self) -> None:
        """How long each deed takes when nobody is killed."""
        with self.server.client() as client:
            for at, (deed, fields) in enumerate(FIELDS.items()):
                enrol_at_last(client, self.photo, -10 + at, **fields)
                began = time.monotonic()
                answer = enrol(client, self.photo, -20 + at, **fields)
                self.took[deed] = time.monotonic() - began
                if answer.status_code != 200:
                    raise RuntimeError(f"undisturbed, {deed!r} was answered {told(answer)}")
            began = time.monotonic()
            for person in all_persons(client):
                client.delete(f"/api/persons/{person['person_id']}")
            self.took["delete"] = (time.monotonic() - began) / (2 * len(FIELDS))

    def problems_of(self, moment: Moment) -> list[str]:
        """What went wrong."""
        if moment.deed == "delete" and moment.number not in self.stored:
            with self.server.client() as client:
                self.stored[moment.number] = enrol_at_last(client, self.photo, moment.number).json()["person_id"]
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=self._do, args=(moment, answers))
        thread.start()
        time.sleep(moment.share * self.took[moment.deed])
        found = self._kill(moment.victim)
        thread.join()
        answer = answers[0] if answers else None
        self.outcomes.append({**moment.__dict__, "answer": None if answer is None else told(answer)})
        if moment.victim == "server":
            if "API key" in self.server.start():
                found.append("a key is printed again")
        elif answer is None:
            found.append("a killed worker took the answer with it")
        return found + self._after(moment, answer)

    def _do(self, moment: Moment, answers: list[httpx.Response]) -> None:
        with self.server.client() as client:
            try:
                if moment.deed == "delete":
                    answers.append(client.delete(f"/api/persons/{self.stored[moment.number]}"))
                else:
                    answers.append(enrol(client, self.photo, moment.number, **FIELDS[moment.deed]))
            except httpx.TransportError:
                return

    def _kill(self, victim: Victim) -> list[str]:
        assert self.server.process is not None
        workers, pid = self.server.workers(), self.server.process.pid
        if victim == "worker":
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            return []
        self.server.kill()
        until = time.monotonic() + 30
        while set(workers) & set(workers_of(pid, 1)):
            if time.monotonic() > until:
                return ["a worker outlives its server"]
            time.sleep(0.05)
        return []

    def _after(self, moment: Moment, answer: httpx.Response | None) -> list[str]:
        problems = []
        with self.server.client() as client:
            people = {p["person_id"]: p for p in all_persons(client)}
            if moment.deed == "delete":
                gone = self.stored[moment.number] not in people
                if answer is not None and answer.status_code == 200 and not gone:
                    problems.append("a deletion that was answered did not last")
                if gone:
                    del self.stored[moment.number]
            elif answer is not None and answer.status_code == 200:
                self.stored[moment.number] = answer.json()["person_id"]
            elif answer is not None and answer.status_code != 503:
                problems.append(f"answered {told(answer)}")
            missing = set(self.stored.values()) - set(people)
            if missing:
                problems.append(f"{len(missing)} whose enrolment was answered are not there")
            more = set(people) - set(self.stored.values())
            if len(more) > (0 if moment.deed == "delete" or answer is not None else 1):
                problems.append(f"{len(more)} are there of whom nobody was told")
            for person in people.values():
                problems += _not_whole(client, person)
            if moment.deed != "delete":
                problems += self._again(client, moment, more)
        return problems

    def _again(self, client: httpx.Client, moment: Moment, more: set[str]) -> list[str]:
        """The same request once more: it enrols who is not there, and finds who is."""
        answer = enrol_at_last(client, self.photo, moment.number, **FIELDS[moment.deed])
        if answer.status_code != 200:
            return [f"asked again, it is answered {told(answer)}"]
        person = answer.json()["person_id"]
        expected = {self.stored[moment.number]} if moment.number in self.stored else more
        self.stored[moment.number] = person
        total = client.get("/api/persons").json()["total"]
        problems = [] if total == len(self.stored) else [f"{total} people instead of {len(self.stored)}"]
        return problems + (["asked again, it is another person"] if expected and person not in expected else [])


def _not_whole(client: httpx.Client, person: dict[str, Any]) -> list[str]:
    """What is missing of a person who is listed."""
    name = f"/api/persons/{person['person_id']}"
    bundle, detail = client.get(f"{name}/bundle"), client.get(name)
    if (bundle.status_code, detail.status_code) != (200, 200):
        return [f"of a person who is listed, bundle {bundle.status_code}, record {detail.status_code}"]
    counts = {bundle_rows(bundle.content), len(detail.json()["samples"]), person["embeddings_created"]}
    return [] if len(counts) == 1 else [f"bundle, samples and count disagree: {sorted(counts)}"]


def kill_at_random_moments(count: int, seed: int = 0) -> dict[str, Any]:
    """`count` kills of one service, which is started again with its data each time."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "data", *SMALL_MODEL, limits=PATIENT) as server:
        run = Kills(server)
        run.warm()
        wrong = {repr(moment): found for moment in moments(count, seed) if (found := run.problems_of(moment))}
    return {
        "passed": not wrong,
        "kills": count,
        "undisturbed_s": {deed: round(took, 3) for deed, took in run.took.items()},
        "answered": sum(outcome["answer"] is not None for outcome in run.outcomes),
        "outcomes": run.outcomes,
        "problems": wrong,
    }
