"""A worker process: `python -m sdaug.service.work.main`, frames on standard input and output, one task at a time."""

import logging
import os
import queue
import sys
import threading
from typing import Any, BinaryIO

from sdaug.service.frames import Frame, FrameError, read_frame, write_frame
from sdaug.types import PhotoError

log = logging.getLogger("sdaug.service.work")


class Cancelled(BaseException):
    """Raised at a task's next step once the server has cancelled it; no `except Exception` holds it up."""


class Channel:
    """The worker's end of the line. A thread reads, so that a cancellation or the server's end is known at once."""

    def __init__(self, reads: BinaryIO, writes: BinaryIO):
        self._reads, self._writes = reads, writes
        self._tasks: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._cancel = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                frame = read_frame(self._reads)
            except (FrameError, OSError):
                frame = None
            if frame is None:
                os._exit(0)  # the server is gone; whatever is being made is for nobody
            if frame[0]["kind"] == "cancel":
                self._cancel.set()
            else:
                self._tasks.put(frame)

    def next(self) -> Frame:
        """The next task."""
        frame = self._tasks.get()
        self._cancel.clear()
        return frame

    def step(self, name: str, **facts: Any) -> None:
        """Says how far the task is. Raises Cancelled if nobody wants it any more."""
        if self._cancel.is_set():
            raise Cancelled
        self.say({"kind": "step", "step": name, **facts})

    def say(self, head: dict[str, Any], blobs: "list[bytes] | tuple[bytes, ...]" = ()) -> None:
        """Sends one frame."""
        try:
            write_frame(self._writes, head, blobs)
        except BrokenPipeError:
            os._exit(0)  # the server is gone


def main() -> None:
    # Frames have the pipe to themselves: what a library prints goes where its warnings go.
    reads, writes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(levelname)s: %(message)s")
    channel = Channel(reads, writes)
    setup, _ = channel.next()

    from sdaug.service.work.tasks import Tasks

    tasks = Tasks(setup)
    channel.say({"kind": "ready"})
    while True:
        head, blobs = channel.next()
        try:
            answer, answer_blobs = tasks.run(head, blobs, channel.step)
        except PhotoError as error:
            channel.say({"kind": "refused", "reason": error.reason.value, "message": str(error)})
        except Cancelled:
            channel.say({"kind": "cancelled"})
        except MemoryError:
            raise  # a fresh process has more of it
        except Exception as error:
            # The class alone: a message may quote what was in the picture's metadata.
            log.error("task %s raised %s", head["kind"], type(error).__name__)
            channel.say({"kind": "failed", "error": type(error).__name__})
        else:
            channel.say({"kind": "done", **answer}, answer_blobs)


if __name__ == "__main__":
    main()
