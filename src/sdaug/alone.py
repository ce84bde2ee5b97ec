"""One process at a time with a folder of results: a lock that the system frees however its holder ends."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("sdaug")

LOCK = ".lock"


class Busy(ValueError):
    """Another process is at work there."""


@contextmanager
def alone(path: Path, *, wait: bool) -> Iterator[None]:
    """Holds the lock file `path`, which is made and stays.

    Where another process holds it, waits until it is free, and says so, or raises `Busy` naming its number and path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = f"process {os.read(handle, 80).decode(errors='replace') or 'unknown'}"
            if not wait:
                raise Busy(f"{holder} is at work in {path.parent}; expected one at a time") from error
            log.warning("waiting for %s, which is still at work on %s", holder, path.name)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            log.warning("%s lies where files cannot be locked: start nothing else that writes there", path)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} on {os.uname().nodename}".encode(), 0)
        yield
    finally:
        os.close(handle)
