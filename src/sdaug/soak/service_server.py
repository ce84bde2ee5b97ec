"""`sdaug serve` as a process of its own, for whoever wants to load, fuzz or kill it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx

from sdaug.enrolment.store import opened
from sdaug.enrolment.verify import check_files
from sdaug.photos import photo_path

SMALL_MODEL = ("--model", "sdaug-nano", "--device", "cpu", "--steps", "2")

PATIENT = {"decode_s": 120, "stall_s": 600, "generation_stall_s": 600}
"""Seconds of silence that a worker has on a machine busy with other things: importing PyTorch may take minutes."""

RAISED = PATIENT | {
    "requests_per_minute": 1_000_000,
    "changes_per_minute": 1_000_000,
    "failures_per_minute": 1_000_000,
    "uploads": 128,
    "face_queue": 128,
}
"""Limits that one machine asking as fast as it can does not meet."""

PATIENCE_S = 900


class Server:
    """`sdaug serve` on a free port, started again with the same data. options: of the command."""

    def __init__(self, data: Path, *options: str, limits: Mapping[str, float] | None = None):
        limited = [f"--limit={name}={value}" for name, value in (limits or {}).items()]
        self.data, self.options, self.key = data, (*options, *limited), ""
        self.process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> str:
        """Starts it and returns what it printed until it could be reached."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [str(Path(sys.executable).with_name("sdaug")), "serve", "--port", str(self.port)]
        command += ["--data", str(self.data), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        printed = ""
        while "admin page" not in printed:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server ended with status {self.process.wait()} before it could be reached")
            printed += line
        found = re.search(r"API key, shown this once: (\S+)", printed)
        self.key = found[1] if found else self.key
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                with self.client() as client:
                    if client.get("/healthz").status_code == 200:
                        return printed
            except httpx.TransportError:
                time.sleep(0.05)
        raise RuntimeError(f"the server does not answer within {PATIENCE_S} s")

    def client(self) -> httpx.Client:
        """One that has the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=PATIENCE_S)

    def kill(self, how: int = signal.SIGKILL) -> None:
        """Ends the server; its workers end with their pipes."""
        assert self.process is not None and self.process.stdout is not None
        self.process.send_signal(how)
        self.process.wait(60)
        self.process.stdout.close()

    def workers(self) -> list[int]:
        """The server's live worker processes."""
        assert self.process is not None
        return workers_of(self.process.pid)


def workers_of(*parents: int) -> list[int]:
    """The live worker processes of these parents; 1 is that of whoever outlives its own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if b"sdaug.service.work.main" in command and int(parent) in parents:
                found.append(int(entry.name))
    return found


def cnic_of(number: int) -> str:
    """A national id for person `number`."""
    return f"35202-{number:07d}-2"


def enrol(client: httpx.Client, photo: bytes, number: int, **fields: str) -> httpx.Response:
    """`POST /api/enroll` of person `number`, always with the same Idempotency-Key."""
    given = {"name": "Ayesha Khan", "cnic": cnic_of(number), "use_augmentation": "false"} | fields
    return client.post(
        "/api/enroll", data=given, files={"file": ("p.png", photo)}, headers={"Idempotency-Key": str(number)}
    )


def enrol_at_last(client: httpx.Client, photo: bytes, number: int, **fields: str) -> httpx.Response:
    """`enrol`, again and again as long as the service asks to wait: its workers may be starting."""
    until = time.monotonic() + PATIENCE_S
    while (answer := enrol(client, photo, number, **fields)).status_code == 503 and time.monotonic() < until:
        time.sleep(float(answer.headers["Retry-After"]))
    return answer


def all_persons(client: httpx.Client) -> list[dict[str, Any]]:
    """Everybody who is enrolled."""
    found, after = [], ""
    while True:
        page = client.get(f"/api/persons?limit=200{after}").json()
        found += page["persons"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def bundle_rows(data: bytes) -> int:
    """How many vectors a bundle in a zip holds. Raises ValueError where anything in it does not agree."""
    return len(check_files(opened(data))[0])


def photo() -> bytes:
    """The photo of a person that comes with a package."""
    return photo_path("astronaut").read_bytes()


def load_now() -> dict[str, Any]:
    """How busy this machine is: what a time measured on it is worth."""
    return {"cores": len(os.sched_getaffinity(0)), "load_1_min": round(os.getloadavg()[0], 2)}


def told(answer: Any) -> str:
    """An answer's status and, of an error, its code."""
    if answer.status_code < 400:
        return str(answer.status_code)
    try:
        return f"{answer.status_code} {answer.json()['code']}"
    except (ValueError, KeyError):
        return f"{answer.status_code} no problem as described"
