"""Which code makes and judges a picture, as one digest: a result belongs to it."""

import functools
import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

APART = {
    "alone.py", "bench", "bulk.py", "cells.py", "charts.py", "cli", "compare.py", "contact.py", "costmodel",
    "doctor.py", "enrol.py", "enrolment", "evaluation", "evidence.py", "executors.py", "experiment.py", "kernel.py",
    "models", "planning", "report", "results.py", "review.py", "search.py", "service", "setting_faults.py", "shown.py",
    "soak", "statistics", "sweep.py", "templates", "tracking.py",
}  # fmt: skip
"""Of the package, what no picture, cost or judgement comes from. Weights have digests of their own."""


WHAT = (".json", ".npz", ".py")
"""Beside code the bands, the pose reading's calibration and the shape of a head."""


JUDGING = {"compare.py", "evidence.py", "statistics"}
"""What compares and chooses settings, once all their results are there."""


@functools.cache
def code_version() -> str:
    """The package's version and the first 12 hex digits of a SHA-256 over its code and tables but those `APART`.

    A change to a report or a command line leaves it as it is; one to a comment in a lever does not.
    """
    return f"{version('sdaug')}+{_digest(lambda part: part not in APART)}"


@functools.cache
def judging_version() -> str:
    """The first 12 hex digits of a SHA-256 over the code that is `JUDGING`."""
    return _digest(lambda part: part in JUDGING)


def _digest(wanted: Callable[[str], bool]) -> str:
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for path in package.rglob("*") if path.suffix in WHAT):
        name = path.relative_to(package)
        if wanted(name.parts[0]):
            digest.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
