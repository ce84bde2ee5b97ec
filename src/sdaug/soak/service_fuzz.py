"""Requests made up from the service's own OpenAPI description: each answer must be one it describes, none a 500."""

import random
import tempfile
import time
from collections import Counter, defaultdict
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

from sdaug.soak.service_server import (
    PATIENCE_S,
    RAISED,
    SMALL_MODEL,
    Server,
    all_persons,
    bundle_rows,
    cnic_of,
    enrol_at_last,
    photo,
    told,
)

REAL = 5
"""Of those that are as described, a route's first and every fifth are about a real photo, or somebody who is enrolled:
made-up ones end at the first checks."""

KEYLESS = 10
"""One request of so many comes without a key."""

SLOW = ("too_slow", "data_too_large", "filter_too_much", "large_base_example")
"""What hypothesis would stop at; here a request may take its time."""


class Fuzz:
    """A run against `server`. answered: how often each route gave each status. problems: by route and kind, how often
    and the first of them."""

    def __init__(self, server: Server, seed: int):
        import requests
        from schemathesis.transport.serialization import Binary

        self.server, self.draw, self.session = server, random.Random(seed), requests.Session()
        self.asked_of: Counter[str] = Counter()
        self.answered: dict[str, Counter[str]] = defaultdict(Counter)
        self.problems: dict[str, dict[str, Any]] = {}
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # signed in is signed in by key alone
        self.asked = self.numbered = 0
        self.may_be_real = True
        self.photo = Binary(photo())
        self.persons: list[str] = []
        self.jobs: list[str] = []

    def ask_route(self, operation: Any, requests: int) -> None:
        """Half of `requests` as the description wants them, half not."""
        from schemathesis import GenerationMode

        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            self.may_be_real = mode is GenerationMode.POSITIVE
            self._ask_so(operation, mode, (requests + 1) // 2)

    def _ask_so(self, operation: Any, mode: Any, requests: int) -> None:
        from hypothesis import HealthCheck, Phase, given, settings

        until = self.asked + requests

        @settings(
            max_examples=requests, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=[getattr(HealthCheck, name) for name in SLOW], derandomize=True,
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            if self.asked < until:
                self.ask(case)

        if any(operation.iter_parameters()) or operation.body:
            one()
        while self.asked < until:  # a route without parameters has only so many different requests
            self.ask(operation.Case())

    def ask(self, case: Any) -> None:
        """Sends one case and checks its answer."""
        from requests import RequestException
        from schemathesis.checks import not_a_server_error
        from schemathesis.core.failures import Failure, FailureGroup
        from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

        label = case.operation.label
        real = self.may_be_real and self.asked_of[label] % REAL == 0 and self.made_real(case)
        self.asked_of[label] += 1
        self.asked += 1
        keyless = self.asked_of[label] % KEYLESS == 0 and label != "POST /api/session"
        try:
            answer = case.call(
                base_url=self.server.address,
                session=self.session,
                headers={} if keyless else {"Authorization": f"Bearer {self.server.key}"},
                timeout=PATIENCE_S,
            )
        except RequestException as error:
            self.found(f"{label}: {type(error).__name__}", "no answer")
            return
        self.answered[label][told(answer)] += 1
        if answer.status_code == 500:
            self.found(f"{label}: 500", answer.text[:200])
        if keyless != (told(answer) == "401 no_key"):
            self.found(f"{label}: key", f"{told(answer)} {'without' if keyless else 'with'} a key")
        # 503 is described, and no description says what is a photo of a person. Whether a body was wrong is not asked
        # of real ones, since schemathesis takes no bytes for text, nor where the form says it as if it were right.
        excluded = [not_a_server_error]
        if not real:
            excluded.append(positive_data_acceptance)
        if real or _one_on_the_wire(case.body):
            excluded.append(negative_data_rejection)
        try:
            case.validate_response(answer, excluded_checks=excluded)
        except FailureGroup as group:
            for failure in group.exceptions:
                self.found(f"{label}: {type(failure).__name__}", f"{answer.status_code} {failure}")
        except Failure as failure:
            self.found(f"{label}: {type(failure).__name__}", f"{answer.status_code} {failure}")
        self.remember(label, case, answer)

    def made_real(self, case: Any) -> bool:
        """Puts a photo, a new person, the key or ids that exist into a case; False where there is no place for them."""
        path, body = case.path_parameters, case.body
        if "person_id" in path and self.persons:
            path["person_id"] = self.draw.choice(self.persons)
        elif path and self.jobs:
            path |= {name: 0 if name == "index" else self.draw.choice(self.jobs) for name in path}
        elif case.operation.label == "POST /api/session":
            case.body, case.headers["X-Sdaug-Page"] = {"key": self.server.key}, "1"
        elif not path and isinstance(body, dict):
            self.numbered += 1
            sent = "files" if case.operation.path.endswith("/multiple") else "file"
            case.body = {name: value for name, value in body.items() if name in ("use_augmentation", "top")}
            case.body[sent] = [self.photo] if sent == "files" else self.photo
            if case.operation.path.startswith("/api/enroll"):
                # Every third with a view: the generator takes its time.
                views = {"use_sd_augmentation": self.numbered % 3 == 0, "sd_num_angles": 1}
                case.body |= {"name": "Ayesha Khan", "cnic": cnic_of(self.numbered), **views}
        else:
            return False
        return True

    def remember(self, label: str, case: Any, answer: Any) -> None:
        """Who is enrolled and which jobs there are, after this answer."""
        if answer.status_code == 200 and label.startswith("POST /api/enroll"):
            self.persons.append(answer.json()["person_id"])
        elif answer.status_code == 200 and label == "DELETE /api/persons/{person_id}":
            self.persons.remove(case.path_parameters["person_id"])
        elif answer.status_code == 200 and label == "DELETE /api/jobs/{job_id}":
            self.jobs.remove(case.path_parameters["job_id"])
        elif answer.status_code == 202:
            job = answer.json()["job_id"]
            with self.server.client() as client:
                while (state := client.get(f"/api/jobs/{job}").json()["state"]) in ("queued", "running"):
                    time.sleep(0.05)
            if state == "done":
                self.jobs.append(job)

    def found(self, kind: str, what: str) -> None:
        """Notes a problem."""
        self.problems.setdefault(kind, {"times": 0, "first": what[:500]})["times"] += 1


def fuzz(requests: int, seed: int = 0) -> dict[str, Any]:
    """`requests` over every route of a service of its own; what it answered and what was wrong."""
    import schemathesis
    from schemathesis.core.result import Ok

    limits = RAISED | {"previews": requests, "kept_s": 86_400}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "data", *SMALL_MODEL, limits=limits) as server:
        with server.client() as client:
            description = client.get("/openapi.json").json()
        del description["security"]  # keys are sent and left out here
        schema = schemathesis.openapi.from_dict(description)
        # What deletes comes last: it needs somebody who is there.
        found = [route.ok() for route in schema.get_all_operations() if isinstance(route, Ok)]
        operations = sorted(found, key=lambda operation: operation.method == "delete")
        run = Fuzz(server, seed)
        with server.client() as client:  # until then the workers may be loading, and all is 503
            run.persons.append(enrol_at_last(client, photo(), 0).json()["person_id"])
        for operation in operations:
            run.ask_route(operation, -(-requests // len(operations)))
        unreached = [o.label for o in operations if not any(s[0] == "2" for s in run.answered[o.label])]
        for label in unreached:
            run.found(f"{label}: never succeeded", str(dict(run.answered[label])))
        _check_people(run)
    return {
        "passed": not run.problems,
        "requests": run.asked,
        "routes": len(operations),
        "answered": {label: dict(sorted(of.items())) for label, of in run.answered.items()},
        "problems": run.problems,
    }


def _one_on_the_wire(body: Any) -> bool:
    """Whether a form's body holds a list of one, which is sent like that one, or of none, which is not sent."""
    return isinstance(body, dict) and any(isinstance(value, list | dict) and len(value) < 2 for value in body.values())


def _check_people(run: Fuzz) -> None:
    """Those whose enrolment was answered, and nobody else, are there and whole."""
    with run.server.client() as client:
        people = all_persons(client)
        if {p["person_id"] for p in people} != set(run.persons):
            run.found("people", f"{len(people)} are enrolled, {len(run.persons)} were answered")
        for person in people:
            bundle = client.get(f"/api/persons/{person['person_id']}/bundle").content
            if bundle_rows(bundle) != person["embeddings_created"]:
                run.found("people", "a bundle does not hold what was said")
