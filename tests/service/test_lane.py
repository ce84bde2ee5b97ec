"""A lane and its worker: order, bounds, silence, death and cancellation, with workers of a few lines."""

import asyncio
import gc
import sys
import textwrap
import time
import weakref

import pytest

from sdaug.service.frames import FrameError, pack, unpack
from sdaug.service.lane import JobCancelled, Lane, LaneFull, TaskFailed, WorkerLost
from sdaug.service.work.enrolment import enrol
from sdaug.types import PhotoError, Reason

WORKER = """
import os, sys, time
from sdaug.service.frames import read_frame, write_frame
reads, writes = sys.stdin.buffer, sys.stdout.buffer
read_frame(reads)
write_frame(writes, {"kind": "ready"})
while True:
    frame = read_frame(reads)
    if frame is None:
        break
    head, blobs = frame
    if head["kind"] == "cancel":
        write_frame(writes, {"kind": "cancelled"})
        continue
    if head["kind"] == "die":
        os._exit(9)
    if head["kind"] == "sleep":
        time.sleep(head["s"])
    if head["kind"] == "steps":
        for n in range(head["n"]):
            write_frame(writes, {"kind": "step", "step": n})
            time.sleep(head["s"])
    for word in head.get("words", ()):
        write_frame(writes, {"kind": "step", "step": word})
        time.sleep(head["s"] if word == head["words"][-1] else 0)
    if head["kind"] == "refuse":
        write_frame(writes, {"kind": "refused", "reason": "no_face", "message": "nobody there"})
    elif head["kind"] == "fail":
        write_frame(writes, {"kind": "failed", "error": "KeyError"})
    elif head["kind"] == "wait":
        continue
    elif head["kind"] == "nonsense":
        writes.write(b"\\xff" * 64); writes.flush()
    else:
        write_frame(writes, {"kind": "done", "pid": os.getpid(), "echo": head.get("n")}, blobs)
"""


def lane(capacity=8, decode_s=5.0, stall_s=5.0) -> Lane:
    command = (sys.executable, "-c", textwrap.dedent(WORKER))
    return Lane("test", {"kind": "setup"}, capacity=capacity, decode_s=decode_s, stall_s=stall_s, command=command)


def served(work, **options):
    """Runs `work(lane)` on an open lane."""

    async def run():
        opened = lane(**options)
        opened.open()
        try:
            return await work(opened)
        finally:
            await opened.close()

    return asyncio.run(run())


def test_jobs_run_in_order_in_one_process_and_bytes_come_back():
    async def work(lane):
        jobs = [lane.submit({"kind": "echo", "n": n}, [bytes([n]) * 300_000]) for n in range(5)]
        return [await job.answer for job in jobs]

    answers = served(work)
    assert [head["echo"] for head, _ in answers] == list(range(5))
    assert all(blobs == [bytes([n]) * 300_000] for n, (_, blobs) in enumerate(answers))
    assert len({head["pid"] for head, _ in answers}) == 1


def test_a_full_lane_refuses_and_keeps_what_it_has():
    async def work(lane):
        jobs = [lane.submit({"kind": "echo", "n": n}) for n in range(2)]
        with pytest.raises(LaneFull, match="at most 2"):
            lane.submit({"kind": "echo"})
        done = [(await job.answer)[0]["echo"] for job in jobs]
        await asyncio.sleep(0.01)
        return done, (await lane.run({"kind": "echo", "n": 7}))[0]["echo"]

    assert served(work, capacity=2) == ([0, 1], 7)


@pytest.mark.parametrize(
    "head, error, what",
    [
        ({"kind": "refuse"}, PhotoError, "nobody there"),
        ({"kind": "fail"}, TaskFailed, "KeyError"),
        ({"kind": "die"}, WorkerLost, "status 9"),
        ({"kind": "nonsense"}, WorkerLost, "ended"),
    ],
)
def test_a_job_that_ends_badly_costs_itself_only(head, error, what):
    async def work(lane):
        with pytest.raises(error, match=what) as told:
            await lane.run(head)
        if error is PhotoError:
            assert told.value.reason is Reason.NO_FACE
        return (await lane.run({"kind": "echo", "n": 1}))[0]["echo"]

    assert served(work) == 1


def test_silence_ends_the_worker_and_the_first_word_has_its_own_limit():
    async def work(lane):
        with pytest.raises(WorkerLost) as told:
            await lane.run({"kind": "sleep", "s": 30})
        assert told.value.code == "decode_timeout"
        said = []
        with pytest.raises(WorkerLost) as told:
            await lane.run({"kind": "steps", "n": 3, "s": 20}, on_step=said.append)
        assert told.value.code == "worker_stalled" and len(said) == 1
        return (await lane.run({"kind": "echo", "n": 1}))[0]["echo"]

    began = time.monotonic()
    assert served(work, decode_s=1.0, stall_s=0.5) == 1
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "words, decode_s, stall_s, code",
    [
        (["decoded", "decoding"], 0.5, 20.0, "decode_timeout"),
        (["decoding", "decoded"], 20.0, 0.5, "worker_stalled"),
        (["decoding", "decoded"], 0.5, 0.5, "worker_stalled"),
    ],
)
def test_every_photo_has_the_time_for_decoding_and_no_more(words, decode_s, stall_s, code):
    async def work(lane):
        await lane.run({"kind": "echo"})  # it has started
        with pytest.raises(WorkerLost) as told:
            await lane.run({"kind": "words", "words": words, "s": 15})
        return told.value.code

    assert served(work, decode_s=decode_s, stall_s=stall_s) == code


def test_the_worker_says_before_each_photo_that_it_decodes_it():
    said = []
    task = {"photos": 3, "cohort": 0, "traditional": False, "angles": 0, "views": []}
    with pytest.raises(PhotoError):
        enrol(None, None, task, [b"no picture"] * 3, 1, lambda name, **facts: said.append((name, facts)))
    assert said == [("decoding", {"photo": n}) for n in range(3)]


def test_cancelling_a_waiting_and_a_running_job(monkeypatch):
    monkeypatch.setattr("sdaug.service.lane.GRACE_S", 0.5)

    async def work(lane):
        said = asyncio.Event()
        deaf = lane.submit({"kind": "steps", "n": 100, "s": 0.1}, on_step=lambda _: said.set())
        waiting = lane.submit({"kind": "echo"})
        last = lane.submit({"kind": "echo", "n": 3})
        await said.wait()
        lane.cancel(waiting)
        with pytest.raises(JobCancelled, match="before it began"):
            await waiting.answer
        lane.cancel(deaf)
        with pytest.raises(JobCancelled):
            await deaf.answer
        assert (await last.answer)[0]["echo"] == 3
        hears = lane.submit({"kind": "wait"})
        while not hears.started:
            await asyncio.sleep(0.01)
        lane.cancel(hears)
        with pytest.raises(JobCancelled, match="while it ran"):
            await hears.answer
        lane.cancel(last)
        return (await last.answer)[0]["echo"]

    assert served(work) == 3


def test_a_cancelled_job_that_waits_gives_up_its_place_and_its_bytes_at_once():
    async def work(lane):
        said = asyncio.Event()
        running = lane.submit({"kind": "steps", "n": 5, "s": 0.1}, on_step=lambda _: said.set())
        waiting = lane.submit({"kind": "echo"}, [b"photo"])
        await said.wait()
        lane.cancel(waiting)
        lane.cancel(waiting)
        assert (lane.waiting, waiting.blobs) == (1, ())
        last = lane.submit({"kind": "echo", "n": 4})
        with pytest.raises(LaneFull):
            lane.submit({"kind": "echo"})
        await running.answer
        assert (await last.answer)[0]["echo"] == 4
        await asyncio.sleep(0.01)
        lane.cancel(waiting)
        return lane.waiting

    assert served(work, capacity=2) == 0


def test_a_job_that_is_over_keeps_no_bytes_and_the_lane_keeps_no_job():
    async def work(lane):
        done, failed = lane.submit({"kind": "echo"}, [b"photo"]), lane.submit({"kind": "fail"}, [b"photo"])
        await done.answer
        with pytest.raises(TaskFailed):
            await failed.answer
        last = lane.submit({"kind": "echo"}, [b"photo"])
        await last.answer
        await asyncio.sleep(0.01)
        assert [job.blobs for job in (done, failed, last)] == [(), (), ()]
        answer = weakref.ref(last)
        del last
        gc.collect()
        return answer()

    assert served(work) is None


def test_a_caller_that_goes_away_leaves_its_job_running():
    async def work(lane):
        steps = []
        caller = asyncio.ensure_future(lane.run({"kind": "steps", "n": 3, "s": 0.05}, on_step=steps.append))
        await asyncio.sleep(0.3)
        caller.cancel()
        await lane.run({"kind": "echo"})
        return len(steps)

    assert served(work) == 3


def test_closing_ends_what_waits():
    async def work(lane):
        return [lane.submit({"kind": "sleep", "s": 30}), lane.submit({"kind": "echo"})]

    async def run():
        opened = lane()
        opened.open()
        jobs = await work(opened)
        await asyncio.sleep(0.2)
        await opened.close()
        return [type(job.answer.exception()) for job in jobs]

    assert asyncio.run(run()) == [JobCancelled, JobCancelled]


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\x05hello", pack({"a": 1}, [b"xy"])[:-1], pack({"a": 1}) + b"x", b"\0\0\0\x02{}"]
)
def test_bytes_that_are_no_frame(data):
    with pytest.raises(FrameError):
        unpack(data)
