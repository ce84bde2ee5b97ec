"""`sdaug bench counting`: how long a whole experiment file takes to be counted, nothing remembered from before."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sdaug.measure.cache import CACHE_VARIABLE
from sdaug.measure.digest import file_sha256
from sdaug.measure.environment import provenance

LIMIT_S = 20.0
"""What is aimed at, libraries imported."""


def bench_counting(file: str, device: str = "orin-agx-64") -> dict[str, Any]:
    """Seconds, JSON-able, that `sdaug plan FILE --json` takes in a process of its own with an empty cache.

    load_average: processes that ran or waited in the minute before; more than none, and others share the processor.
    Raises RuntimeError with what the command said where it prints no plan.
    """
    origin, load = provenance(), os.getloadavg()[0]
    command = [sys.executable, "-m", "sdaug", "plan", file, "--device", device, "--json"]
    with TemporaryDirectory(prefix="sdaug-") as empty:
        started = time.perf_counter()
        done = subprocess.run(command, env=os.environ | {CACHE_VARIABLE: empty}, capture_output=True, text=True)
        seconds = time.perf_counter() - started
    if not done.stdout:
        raise RuntimeError(f"sdaug plan {file}: {done.stderr.strip()}")
    settings = json.loads(done.stdout)["settings"]
    return {
        "schema": "sdaug.bench.counting/1", **origin, "file": Path(file).name, "sha256": file_sha256(file),
        "device": device, "settings": len(settings), "counted": sum("counted" in one for one in settings),
        "load_average": load, "seconds": seconds, "limit_s": LIMIT_S, "in_time": seconds <= LIMIT_S,
    }  # fmt: skip
