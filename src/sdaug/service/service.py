"""The running service: what the endpoints share, how it starts and how it ends."""

import asyncio
import contextlib
import datetime
import logging
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from sdaug.service.answers import SdStatus
from sdaug.service.audit import pseudonym, sweep_lines, write_line
from sdaug.service.clock import now, stamp
from sdaug.service.database import open_database
from sdaug.service.errors import ApiError
from sdaug.service.index import Index
from sdaug.service.jobs import Jobs
from sdaug.service.lane import JobCancelled, Lane, LaneFull, TaskFailed, WorkerLost
from sdaug.service.limiter import Limiter
from sdaug.service.people import People
from sdaug.service.sessions import Sessions
from sdaug.service.settings import ServiceSettings

log = logging.getLogger("sdaug.service")

SWEEP_S = 600.0
RETRY_S = 5.0
"""Seconds until a start that failed is tried again."""

AUDIT_DAYS = 365
"""How long a line of the audit log is kept."""


class Service:
    """One service on one database. `open` it inside an event loop."""

    def __init__(self, settings: ServiceSettings):
        self.settings = settings
        self.engine, self.vault = open_database(settings)
        self.people = People(self.engine, self.vault)
        self.sessions = Sessions(settings.session_hours * 3600.0)
        self.under_way: set[str] = set()
        """Idempotency keys and national ids (hashed) of enrolments that are not done."""
        limits, run = settings.limits, settings.run
        setup = {"kind": "setup", "pixels": limits.pixels, "run": run.model_dump(mode="json")}
        self.faces = Lane(
            "face",
            setup | {"varies": True},
            capacity=limits.face_queue,
            decode_s=limits.decode_s,
            stall_s=limits.stall_s,
        )
        self.generation = Lane(
            "generation",
            setup | {"varies": False},
            capacity=limits.generation_queue,
            decode_s=limits.decode_s,
            stall_s=limits.generation_stall_s,
        )
        self.failures = Limiter(limits.failures_per_minute)
        """Of wrong keys, by address."""
        self.jobs = Jobs(self.generation, limits.previews, limits.kept_s)
        self._index: Index | None = None
        self._deleted: set[str] = set()
        """People deleted while the index is being made: what was read for it may hold them."""
        self._facts: dict[str, Any] | None = None
        self._known = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Starts the lanes; the face worker loads while the first requests are answered already."""
        self._known = asyncio.Event()
        self.faces.open()
        self.generation.open()
        self._tasks = [asyncio.create_task(self._find_out()), asyncio.create_task(self._sweep())]

    async def close(self) -> None:
        """Ends workers and tasks. What is stored stays; previews and sessions are gone."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.faces.close()
        await self.generation.close()
        await run_in_threadpool(self.engine.dispose)

    async def _find_out(self) -> None:
        while self._facts is None:
            try:
                facts, _ = await self.faces.run({"kind": "status"})
                people = await run_in_threadpool(self.people.all_templates)
            except (WorkerLost, TaskFailed, JobCancelled) as error:
                log.error("the face worker does not start: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            except SQLAlchemyError as error:  # its message may quote a row
                log.error("the templates cannot be read: %s", type(error).__name__)
                await asyncio.sleep(RETRY_S)
                continue
            own = facts["recogniser"]
            self._index = Index(people, own["sha256"], own["metric"])
            for person_id in self._deleted:
                self._index.drop(person_id)
            self._deleted.clear()
            self._facts = facts
        self._known.set()

    async def ready(self) -> Index:
        """The index, once the face worker is there. Raises ApiError 503 if that takes too long."""
        try:
            await asyncio.wait_for(self._known.wait(), 120)
        except asyncio.TimeoutError as error:
            raise ApiError(503, "starting", "the face worker is not ready; nothing was stored", 10) from error
        assert self._index is not None
        return self._index

    @property
    def recogniser(self) -> dict[str, Any]:
        """Name, digest, metric and thresholds of the recogniser; only after `ready`."""
        assert self._facts is not None
        return self._facts["recogniser"]

    @property
    def sd_status(self) -> SdStatus:
        """Whether views can be generated, from memory."""
        model, busy = self.settings.run.model.model_id, self.generation.waiting
        if self._facts is None:
            return SdStatus(available=False, model_name=model, reason="checking", message="being found out", busy=busy)
        return SdStatus(**self._facts["sd"], busy=busy)

    async def note(self, action: str, actor: str, request_id: str, person_id: str | None = None) -> None:
        """A line of the audit log for what was done and stores nothing else."""
        subject = None if person_id is None else pseudonym(self.vault, person_id)

        def write() -> None:
            with self.engine.begin() as connection:
                write_line(connection, action, actor, "done", subject, request_id)

        await run_in_threadpool(write)

    async def delete_person(self, person_id: str, actor: str, request_id: str = "", action: str = "delete") -> bool:
        """Removes a person from the database, its files and the index; False if there is none."""
        found = await run_in_threadpool(self.people.delete, person_id, actor, request_id, action)
        if self._index is not None:
            self._index.drop(person_id)
        elif found:
            self._deleted.add(person_id)
        return found

    async def sweep(self) -> None:
        """Deletes people whose retention has ended, answers and audit lines that are too old, and old previews."""
        self.jobs.sweep()
        for person_id in await run_in_threadpool(self.people.expired):
            await self.delete_person(person_id, "retention", action="expire")
        hours = datetime.timedelta(hours=self.settings.idempotency_hours)
        await run_in_threadpool(self.people.forget_answers, stamp(now() - hours))
        await run_in_threadpool(sweep_lines, self.engine, stamp(now() - datetime.timedelta(days=AUDIT_DAYS)))

    async def _sweep(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception as error:
                log.error("the retention sweep raised %s", type(error).__name__)
            await asyncio.sleep(SWEEP_S)
            # Weights may have been fetched meanwhile.
            with contextlib.suppress(WorkerLost, TaskFailed, LaneFull):
                self._facts, _ = await self.faces.run({"kind": "status"})
