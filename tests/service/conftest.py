"""A service of its own for the tests that ask for one: real workers, the embedded face pack, the small model."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sdaug.config import ModelSettings, RunSettings
from sdaug.photos import photo_path
from sdaug.service.api_keys import create_key
from sdaug.service.app import create_app
from sdaug.service.service import Service
from sdaug.service.settings import Limits, ServiceSettings
from sdaug.service.vault import KEY_VARIABLE, new_key

_numbers = count(1)

NANO = {
    "model": ModelSettings(model_id="sdaug-nano", device="cpu").model_dump(),
    "generation": {"num_inference_steps": 2, "batch_size": 1},
    "levers": {},
}


@dataclass(frozen=True)
class Running:
    """A client that has a key, the service behind it and where its data lies."""

    http: TestClient
    service: Service
    data: Path

    def enrol(self, photo: bytes, **fields: Any):
        """`POST /api/enroll` of a person nobody has enrolled yet, without augmentation unless it is asked for."""
        given = {"name": "Ayesha Khan", "cnic": self.new_cnic(), "use_augmentation": "false"} | fields
        headers = given.pop("headers", {})
        return self.http.post("/api/enroll", data=given, files={"file": ("p.png", photo)}, headers=headers)

    def new_cnic(self) -> str:
        """One that nobody has."""
        return f"35202-{next(_numbers):07d}-1"

    def persons(self) -> int:
        """How many people are stored."""
        return self.http.get("/api/persons").json()["total"]


def run_service(data: Path, **settings: Any) -> Iterator[Running]:
    limits = {"changes_per_minute": 10_000, "failures_per_minute": 1000} | settings.pop("limits", {})
    run = RunSettings.model_validate(NANO | settings.pop("run", {}))
    app = create_app(ServiceSettings(data=data, run=run, limits=Limits.model_validate(limits), **settings))
    key = create_key(app.state.service.engine, "tests")
    with TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer {key}"}) as client:
        yield Running(client, app.state.service, data)


@pytest.fixture(scope="session")
def photo() -> bytes:
    return photo_path("astronaut").read_bytes()


@pytest.fixture(scope="session", autouse=True)
def data_key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, new_key())
        yield


@pytest.fixture(scope="session")
def running(tmp_path_factory, data_key) -> Iterator[Running]:
    """One service for all tests that need nothing special of it."""
    yield from run_service(tmp_path_factory.mktemp("service") / "data")


@pytest.fixture
def serve(tmp_path):
    """Starts a service with settings of its own: `serve(limits={...})`; on the same data if called again."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            contextlib.contextmanager(run_service)(tmp_path / "data", **settings)
        )
