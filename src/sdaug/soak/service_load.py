"""Many clients enrolling at once: no error, nobody lost, nobody twice; and how long each waits."""

import math
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from sdaug.soak.service_server import (
    RAISED,
    SMALL_MODEL,
    Server,
    all_persons,
    enrol,
    enrol_at_last,
    load_now,
    photo,
    told,
)

LIMITS_S = {"use_augmentation=false": 0.5, "nine variations": 2.0}
STATUS_P99_S = 0.05

WAITS = frozenset({"429 too_many_requests", "503 busy", "503 queue_full", "503 starting"})
"""Answers that ask to come again, where nothing is wrong."""


@dataclass
class Load:
    """What the clients of a run saw. enrolled: the person of each number that was answered 200. times: seconds of those
    answers. told_to_wait: answers 429 and 503 by status and code. problems: anything else."""

    enrolled: dict[int, str] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    told_to_wait: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def ask(self, client: httpx.Client, data: bytes, number: int) -> None:
        """Enrols one person, waiting as long as it is told to. Every fifth is asked for twice under one key, as by a
        client that lost the answer."""
        began = time.monotonic()
        while (answer := enrol(client, data, number)).status_code in (429, 503):
            wait = answer.headers.get("Retry-After")
            self.told_to_wait[told(answer)] += 1
            if wait is None or told(answer) not in WAITS:
                self.problems.append(f"{told(answer)}, Retry-After {wait}")
                return
            time.sleep(float(wait))
        if answer.status_code != 200:
            self.problems.append(told(answer))
            return
        self.times.append(time.monotonic() - began)
        self.enrolled[number] = answer.json()["person_id"]
        if number % 5 == 0:
            again = enrol(client, data, number)
            if again.status_code in (429, 503):
                self.told_to_wait[told(again)] += 1
            elif again.status_code != 200 or again.json()["person_id"] != self.enrolled[number]:
                self.problems.append(f"asked again: {told(again)}")

    def compare(self, client: httpx.Client) -> None:
        """Notes who was answered and is not there, or the other way round."""
        stored = [p["person_id"] for p in all_persons(client)]
        if len(stored) != len(set(stored)) or set(stored) != set(self.enrolled.values()):
            self.problems.append(f"{len(stored)} are stored, {len(self.enrolled)} were answered")
        if len(set(self.enrolled.values())) != len(self.enrolled):
            self.problems.append("two requests were answered with one person")

    def facts(self) -> dict[str, Any]:
        """For the result file."""
        return {
            "passed": not self.problems and bool(self.enrolled),
            "enrolled": len(self.enrolled),
            "answered_s": spread(self.times),
            "told_to_wait": dict(self.told_to_wait),
            "problems": self.problems[:20],
        }


def spread(times: list[float]) -> dict[str, float]:
    """Median, 99th percentile (nearest rank) and largest of some seconds.

    >>> spread([0.3, 0.1, 0.2])
    {'p50': 0.2, 'p99': 0.3, 'max': 0.3}
    """
    ranked = sorted(times)
    if not ranked:
        return {}

    def at(share: float) -> float:
        return round(ranked[math.ceil(share * len(ranked)) - 1], 4)

    return {"p50": at(0.5), "p99": at(0.99), "max": at(1.0)}


def crowd(server: Server, clients: int, seconds: float) -> Load:
    """`clients` enrol one person after the other without SD for `seconds`, each as fast as it is answered."""
    load, data, numbers = Load(), photo(), iter(range(1, 10**7))
    lock, until = threading.Lock(), time.monotonic() + seconds

    def client() -> None:
        with server.client() as http:
            while time.monotonic() < until:
                with lock:
                    number = next(numbers)
                try:
                    load.ask(http, data, number)
                except httpx.HTTPError as error:
                    load.problems.append(type(error).__name__)

    _together(client, clients)
    with server.client() as http:
        load.compare(http)
    return load


def enrol_crowd(clients: int, seconds: float, **limits: float) -> dict[str, Any]:
    """A crowd against a service of its own; `limits` as the service's settings have them, none for its defaults."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "data", *SMALL_MODEL, limits=limits) as server:
        with server.client() as client:
            enrol_at_last(client, photo(), 0)  # warm
            client.delete(f"/api/persons/{all_persons(client)[0]['person_id']}")
        before = load_now()
        return {"clients": clients, "for_s": seconds, "load_before": before} | crowd(server, clients, seconds).facts()


def answer_times(enrolments: int, statuses: int) -> dict[str, Any]:
    """How long one client waits: for an enrolment with and without variations, and for the status while a generation
    runs. Passed if all of it was in time, on this machine as busy as it was."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "data", *SMALL_MODEL, limits=RAISED) as server:
        with server.client() as client:
            enrol_at_last(client, photo(), 0, use_augmentation="true")  # warm
            before, number = load_now(), 0
            found: dict[str, Any] = {}
            for name, augmented in zip(LIMITS_S, ("false", "true"), strict=True):
                times = []
                for _ in range(enrolments):
                    number += 1
                    began = time.perf_counter()
                    answer = enrol(client, photo(), number, use_augmentation=augmented)
                    times.append(time.perf_counter() - began)
                    if answer.status_code != 200:
                        raise RuntimeError(f"an enrolment was answered {told(answer)}")
                found[name] = spread(times) | {"limit": LIMITS_S[name]}
            found["nine variations and five views"] = _with_views(client) | {"limit": None}
            found["status during a generation"] = _status_times(client, statuses) | {"limit": STATUS_P99_S}
    return judged(found) | {"load_before": before, "load_after": load_now(), **found}


def judged(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Which of the times are within their limit, where there is one, enrolments by their median and the status by its
    p99, and whether all are."""
    in_time = {
        name: of["p99" if "status" in name else "p50"] <= of["limit"]
        for name, of in found.items()
        if of["limit"] is not None
    }
    return {"passed": all(in_time.values()), "in_time": in_time}


def _with_views(client: httpx.Client, enrolments: int = 3) -> dict[str, Any]:
    """Seconds of enrolments with SD, after one that loads the model; what of them was generation, and what came out."""
    times, last = [], None
    for number in range(-enrolments - 1, 0):
        began = time.perf_counter()
        last = enrol(client, photo(), number, use_augmentation="true", use_sd_augmentation="true", sd_num_angles="5")
        times.append(time.perf_counter() - began)
        if last.status_code != 200:
            raise RuntimeError(f"an enrolment with SD was answered {told(last)}")
    assert last is not None
    facts = ("augmentation_breakdown", "sd_generation_time", "degraded")
    return spread(times[1:]) | {name: last.json()[name] for name in facts}


def _status_times(client: httpx.Client, count: int) -> dict[str, Any]:
    """Seconds of `count` answers of the status while views are generated, one preview after the other."""
    times: list[float] = []
    while len(times) < count:
        asked = client.post("/api/previews", data={"sd_num_angles": "10"}, files={"file": ("p.png", photo())})
        job = asked.json()["job_id"]
        while client.get(f"/api/jobs/{job}").json()["state"] == "queued":
            time.sleep(0.02)
        while len(times) < count:
            began = time.perf_counter()
            status = client.get("/api/sd/status").json()
            took = time.perf_counter() - began
            if not status["busy"]:
                break
            times.append(took)
            time.sleep(0.01)
        client.delete(f"/api/jobs/{job}")
    return spread(times) | {"asked": len(times)}


def _together(work: Callable[[], None], times: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
