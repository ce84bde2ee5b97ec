"""A lane: a bounded queue before one worker process. One job at a time, first come, first served."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdaug.service.frames import Frame, FrameError, pack, receive_frame
from sdaug.service.settings import DATABASE_VARIABLE
from sdaug.service.vault import KEY_VARIABLE
from sdaug.types import PhotoError, Reason

log = logging.getLogger("sdaug.service")

START_S = 180.0
"""Seconds until a worker must have loaded what it needs for any job."""

GRACE_S = 10.0
"""Seconds a cancelled job has to end by itself before its worker is killed."""

EXIT_S = 2.0
"""Seconds that a worker which hung up has to be gone."""

SECRETS = frozenset({KEY_VARIABLE, DATABASE_VARIABLE})
"""Of the server's environment, what a worker has no use for."""

Step = Callable[[dict[str, Any]], None]
"""Called with what a worker says while it works."""


class LaneFull(RuntimeError):
    """As many jobs wait as may wait; in `retry_after_s` seconds there may be room."""

    def __init__(self, message: str, retry_after_s: int):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class JobCancelled(RuntimeError):
    """The job was cancelled before it was done."""


class WorkerLost(RuntimeError):
    """The worker ended or fell silent; `code` says which: "worker_crashed", "worker_stalled", "decode_timeout"."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class TaskFailed(RuntimeError):
    """The worker is sound, the task raised something nobody expected. `kind`: the exception's class."""

    def __init__(self, kind: str):
        super().__init__(f"the worker's task raised {kind}")
        self.kind = kind


@dataclass(eq=False)
class Job:
    """One task for a worker. `answer` is its frame, or one of the errors above. blobs: emptied when it is over."""

    head: dict[str, Any]
    blobs: Sequence[bytes]
    on_step: Step | None
    answer: "asyncio.Future[Frame]"
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    started: bool = False


class Lane:
    """name: for messages. command: of the worker, by default this package's. setup: the first frame it is sent.
    capacity: jobs that wait or run. decode_s: seconds of silence at a job's begin and after the word `decoding`;
    stall_s: after any other word."""

    def __init__(
        self,
        name: str,
        setup: dict[str, Any],
        *,
        capacity: int,
        decode_s: float,
        stall_s: float,
        command: Sequence[str] = (sys.executable, "-m", "sdaug.service.work.main"),
    ):
        self.name, self._setup, self._command = name, setup, tuple(command)
        self._capacity, self._decode_s, self._stall_s = capacity, decode_s, stall_s
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._held = 0
        self._process: asyncio.subprocess.Process | None = None
        self._serving: asyncio.Task[None] | None = None
        self._recent_s = 1.0  # of a job: when there is room again

    @property
    def waiting(self) -> int:
        """Jobs that wait or run."""
        return self._held

    def open(self) -> None:
        """Starts serving. The worker starts with the first job, or with `warm`."""
        self._serving = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """Ends the worker; jobs that wait end as cancelled."""
        if self._serving is not None:
            self._serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._serving
        await self._end_worker()
        while not self._queue.empty():
            _fail(self._queue.get_nowait(), JobCancelled("the service is closing"))

    def submit(self, head: dict[str, Any], blobs: Sequence[bytes] = (), on_step: Step | None = None) -> Job:
        """Queues a task. Raises LaneFull, with nothing queued."""
        if self._held >= self._capacity:
            full = f"{self._held} jobs wait in the {self.name} lane, at most {self._capacity}"
            raise LaneFull(full, max(1, round(self._recent_s)))
        job = Job(head, blobs, on_step, asyncio.get_running_loop().create_future())
        job.answer.add_done_callback(_looked_at)
        self._held += 1
        self._queue.put_nowait(job)
        return job

    async def run(self, head: dict[str, Any], blobs: Sequence[bytes] = (), on_step: Step | None = None) -> Frame:
        """`submit`, and its answer. A caller that is itself cancelled (its client went away) lets the job finish."""
        return await asyncio.shield(self.submit(head, blobs, on_step).answer)

    def cancel(self, job: Job) -> None:
        """Ends a job that waits at once, one that runs within `GRACE_S`; one that is done stays done."""
        job.cancelled.set()
        if not job.started and not job.answer.done():
            _fail(job, JobCancelled("cancelled before it began"))
            self._release(job)

    def _release(self, job: Job) -> None:
        """Its place is another's, and the photos and vectors that it came with are gone from memory."""
        job.blobs = ()
        self._held -= 1

    async def _serve(self) -> None:
        while True:
            # No name for it here: it would keep the last job's answer until the next one comes.
            await self._serve_one(await self._queue.get())

    async def _serve_one(self, job: Job) -> None:
        if job.answer.done():  # cancelled while it waited
            return
        loop = asyncio.get_running_loop()
        began, job.started = loop.time(), True
        try:
            await self._work(job)
            self._recent_s = 0.7 * self._recent_s + 0.3 * (loop.time() - began)
        except asyncio.CancelledError:
            _fail(job, JobCancelled("the service is closing"))
            raise
        except Exception as error:
            _fail(job, error)
        finally:
            self._release(job)

    async def _work(self, job: Job) -> None:
        process = await self._worker()
        assert process.stdin is not None
        try:
            process.stdin.write(pack(job.head, job.blobs))
            await process.stdin.drain()
            await self._listen(job, process)
        except (ConnectionError, asyncio.IncompleteReadError, FrameError) as error:
            code = await self._end_worker(0.0 if isinstance(error, FrameError) else EXIT_S)
            if job.cancelled.is_set():
                raise JobCancelled("cancelled while it ran") from error
            raise WorkerLost("worker_crashed", f"the {self.name} worker ended with status {code}") from error

    async def _listen(self, job: Job, process: asyncio.subprocess.Process) -> None:
        """Steps until the job's answer."""
        assert process.stdout is not None and process.stdin is not None
        loop = asyncio.get_running_loop()
        cancelled = asyncio.ensure_future(job.cancelled.wait())
        decoding, until = True, None
        try:
            while True:
                patience = self._decode_s if decoding else self._stall_s
                said = asyncio.ensure_future(receive_frame(process.stdout))
                try:
                    if until is None:
                        await asyncio.wait((said, cancelled), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                        if cancelled.done() and not said.done():
                            until = loop.time() + GRACE_S
                            process.stdin.write(pack({"kind": "cancel"}))
                            await process.stdin.drain()
                    if until is not None:
                        # A frame that is being read must not be torn; what comes too late is torn with its worker.
                        await asyncio.wait((said,), timeout=max(0.0, until - loop.time()))
                    if not said.done():
                        await self._give_up(job, decoding)
                    head, blobs = said.result()
                finally:
                    said.cancel()
                decoding = head.get("step") == "decoding"
                if head["kind"] != "step":
                    self._settle(job, head, blobs)
                    return
                if job.on_step is not None and until is None:
                    job.on_step(head)
        finally:
            cancelled.cancel()

    async def _give_up(self, job: Job, decoding: bool) -> None:
        await self._end_worker()
        if job.cancelled.is_set():
            raise JobCancelled("cancelled while it ran; its worker was ended")
        code, patience = ("decode_timeout", self._decode_s) if decoding else ("worker_stalled", self._stall_s)
        raise WorkerLost(code, f"the {self.name} worker said nothing for {patience:g} s and was ended")

    def _settle(self, job: Job, head: dict[str, Any], blobs: list[bytes]) -> None:
        if job.answer.done():
            return
        if head["kind"] == "done":
            job.answer.set_result((head, blobs))
        elif head["kind"] == "refused":
            _fail(job, PhotoError(Reason(head["reason"]), head["message"]))
        elif head["kind"] == "cancelled":
            _fail(job, JobCancelled("cancelled while it ran"))
        else:
            _fail(job, TaskFailed(str(head.get("error", "an unknown error"))))

    async def _worker(self) -> asyncio.subprocess.Process:
        """The running worker, started and set up if need be."""
        if self._process is not None and self._process.returncode is None:
            return self._process
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
            env={name: value for name, value in os.environ.items() if name not in SECRETS},
        )
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(pack(self._setup))
            await process.stdin.drain()
            head, _ = await asyncio.wait_for(receive_frame(process.stdout), START_S)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError, FrameError) as error:
            await self._end_worker()
            raise WorkerLost("worker_crashed", f"the {self.name} worker did not start") from error
        log.info("%s worker %d: %s", self.name, process.pid, head["kind"])
        return process

    async def _end_worker(self, patience: float = 0.0) -> int | None:
        """Its exit status. patience: seconds that it has to end by itself before it is killed."""
        process, self._process = self._process, None
        if process is None:
            return None
        # Killing one that has just ended would lose its status (python/cpython#87744).
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if process.stdin is not None:
            process.stdin.close()
        return await process.wait()


def _fail(job: Job, error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


def _looked_at(answer: "asyncio.Future[Frame]") -> None:
    """So that a job nobody waits for any more does not end as a warning of the event loop."""
    if not answer.cancelled():
        answer.exception()
