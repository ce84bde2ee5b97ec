"""Preview jobs: their steps as they happen, and what they made, in memory for a while and nowhere else."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sdaug.service.errors import ApiError, as_api_error
from sdaug.service.lane import Job as LaneJob
from sdaug.service.lane import JobCancelled, Lane

State = Literal["queued", "running", "done", "failed", "cancelled"]

PING_S = 15.0


@dataclass(frozen=True)
class Made:
    """A finished preview. photo: the uploaded bytes. views: facts by index; images: PNGs of those accepted. answer:
    what else the worker said, of which the client is shown a part."""

    photo: bytes
    views: list[dict[str, Any]]
    images: dict[int, bytes]
    answer: dict[str, Any]


@dataclass(eq=False)
class Job:
    """One preview. events: everything that was said, in order."""

    id: str
    photo: bytes
    angles: int
    state: State = "queued"
    events: list[dict[str, Any]] = field(default_factory=list)
    made: Made | None = None
    error: ApiError | None = None
    ended: float | None = None
    lane_job: LaneJob | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: dict[str, Any]) -> None:
        """Appends an event and wakes whoever listens."""
        self.events.append(event)
        news, self.news = self.news, asyncio.Event()
        news.set()

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class Jobs:
    """All preview jobs. kept_s: how long one stays after its end; most: how many there may be."""

    def __init__(self, lane: Lane, most: int, kept_s: float):
        self._lane, self._most, self._kept_s = lane, most, kept_s
        self._jobs: dict[str, Job] = {}

    def begin(self, photo: bytes, angles: int, cohort: tuple[int, list[bytes]]) -> Job:
        """Queues a preview. cohort: as `Index.cohort` gives it. Raises LaneFull, or ApiError 503 where too many
        unfinished ones are kept."""
        self.sweep()
        if len(self._jobs) >= self._most:
            over = sorted((j for j in self._jobs.values() if j.over), key=lambda j: j.ended or 0.0)
            if not over:
                raise ApiError(503, "queue_full", "as many previews are made as may be; nothing was stored", 5)
            self.discard(over[0].id)
        job = Job(secrets.token_hex(16), photo, angles)
        people, vectors = cohort
        task = {"kind": "preview", "angles": angles, "cohort": people}
        job.lane_job = self._lane.submit(task, [photo, *vectors], lambda head: _step(job, head))
        job.lane_job.answer.add_done_callback(lambda answer: _end(job, answer))
        job.tell({"event": "step", "step": "queued", "text": "Waiting for the generator..."})
        self._jobs[job.id] = job
        return job

    def get(self, job_id: str) -> Job:
        """The job. Raises ApiError 404 for one that never was, was discarded, or is too old."""
        self.sweep()
        if job_id not in self._jobs:
            raise ApiError(404, "job_not_found", "there is no such job; previews are kept for a while only")
        return self._jobs[job_id]

    def finished(self, job_id: str) -> Made:
        """What a job made. Raises ApiError 404, or 409 while it is not done."""
        job = self.get(job_id)
        if job.made is None:
            raise ApiError(409, "preview_not_done", f"the preview is {job.state}; expected done")
        return job.made

    def discard(self, job_id: str) -> Job:
        """Cancels a job and forgets what it made. Raises ApiError 404."""
        job = self.get(job_id)
        if not job.over and job.lane_job is not None:
            self._lane.cancel(job.lane_job)
        job.made = None
        job.photo = b""
        self._jobs.pop(job_id, None)
        return job

    def sweep(self) -> None:
        """Forgets what has been over for longer than it is kept."""
        old = time.monotonic() - self._kept_s
        self._jobs = {k: j for k, j in self._jobs.items() if j.ended is None or j.ended > old}


def _step(job: Job, head: dict[str, Any]) -> None:
    job.state = "running"
    job.tell({"event": "step"} | {k: v for k, v in head.items() if k != "kind"})


def _end(job: Job, answer: "asyncio.Future[Any]") -> None:
    job.ended = time.monotonic()
    job.lane_job = None  # it holds the worker's answer
    problem = answer.exception()
    if problem is None:
        head, blobs = answer.result()
        shown = [index for index, view in enumerate(head["views"]) if view["image"]]
        views = head["views"]
        job.made = Made(
            job.photo,
            views,
            dict(zip(shown, blobs, strict=True)),
            {k: head[k] for k in ("generation_s", "degraded", "warnings", "generator", "cohort")},
        )
        job.state = "done"
        job.tell({"event": "done", "step": "done", "text": "Done"})
        return
    job.state = "cancelled" if isinstance(problem, JobCancelled) else "failed"
    assert isinstance(problem, Exception)
    job.error = as_api_error(problem) or ApiError(503, "worker_failed", "the preview could not be made")
    job.tell({"event": job.state, "step": job.state, "text": job.error.detail, "code": job.error.code})


async def listen(job: Job, after: int = 0) -> AsyncIterator[tuple[int, dict[str, Any]] | None]:
    """Each event with its number, from number `after` on, until the job's last one; None where nothing was said for a
    while."""
    number = after
    while True:
        news = job.news
        for event in job.events[number:]:
            number += 1
            yield number, event
        if job.over and number >= len(job.events):
            return
        try:
            await asyncio.wait_for(news.wait(), PING_S)
        except asyncio.TimeoutError:
            yield None
