"""How big the report of a large sweep is, and how soon a browser shows it: 200 cells of ten angles, written here."""

import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 15_000_000
MOST_SECONDS = 2.0
STEPS = (2, 4, 8, 12, 16, 20, 25, 30, 40, 50)
POSES = ((0, 0), (45, 0), (-45, 0), (0, -30), (0, 30), (22, 0), (-22, 0), (0, -15), (0, 15), (30, -15))

OPENINGS = 5


def report_size(people: int = 20, steps: Sequence[int] = STEPS, angles: int = 10) -> dict[str, Any]:
    """The report of `people` x `steps` cells, a raw and a final picture an angle, in bytes and seconds to be shown.

    The pictures are pieces of the built-in photo, which compress less well than portraits before a plain wall. Seconds
    are those of `OPENINGS` openings in a headless Chromium, from asking for the page to the second frame after all was
    loaded; their median is judged. None, and not judged, where there is no Chromium.
    """
    from sdaug.report import write_report
    from sdaug.results import read_sweep

    with tempfile.TemporaryDirectory() as folder:
        write_sweep(Path(folder) / "sweep", people, steps, angles)
        page = write_report(read_sweep(Path(folder) / "sweep"), Path(folder) / "report.html")
        size, pictures = page.stat().st_size, page.read_text(encoding="utf-8").count("<img ")
        seconds = opening_s(page)
    return {
        "passed": size <= MOST_BYTES and (seconds is None or statistics.median(seconds) < MOST_SECONDS),
        "cells": people * len(steps),
        "angles": angles,
        "pictures": pictures,
        "bytes": size,
        "opening_s": seconds,
        "not_measured": ["opening_s"] if seconds is None else [],
    }


def opening_s(page: Path, times: int = OPENINGS) -> list[float] | None:
    """Seconds of each opening of `page`, a new browser each; None without playwright or a Chromium.

    The Chromium is the one that `SDAUG_CHROMIUM` names, or the one on the path.
    """
    chromium = os.environ.get("SDAUG_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not chromium:
        return None
    found = []
    for _ in range(times):
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            started = time.perf_counter()
            tab.goto(page.resolve().as_uri(), wait_until="load")
            tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            found.append(round(time.perf_counter() - started, 3))
            browser.close()
    return found


def write_sweep(folder: Path, people: int, steps: Sequence[int], angles: int, pictures: bool = True) -> None:
    """A finished sweep as `sweep.run_sweep` leaves it, made up: every person with every number of steps, the last of
    them the baseline, fewer of them a little less alike and faster. pictures: whether faces may be shown."""
    rng = np.random.default_rng(0)
    settings = [{"key": f"steps{number:04d}", "varied": {"generation.num_inference_steps": number}} for number in steps]
    cells = []
    for person in range(people):
        for setting, number in zip(settings, steps, strict=True):
            key = f"{setting['key']}-{person}"
            cells.append({"key": key, "setting": setting["key"], "load": "load"})
            place = folder / "cells" / key
            place.mkdir(parents=True)
            if pictures:
                _sheet(angles, rng).save(place / "contact.png", compress_level=1)
            result = _result(key, setting["key"], person, number, angles, rng)
            (place / "result.json").write_text(json.dumps(result), encoding="utf-8")
    experiment = {"experiment": "large", "question": "How big is its report?", "log_images": pictures}
    index = {"experiment": experiment, "baseline": settings[-1]["key"], "settings": settings, "cells": cells}
    (folder / "sweep.json").write_text(json.dumps(index), encoding="utf-8")
    chosen = {"key": settings[0]["key"], "why": "it comes first in a made-up sweep"}
    (folder / "chosen.json").write_text(json.dumps(chosen), encoding="utf-8")


def _sheet(angles: int, rng: np.random.Generator) -> Any:
    """A contact sheet (`contact.contact_sheet`) whose tiles are pieces of the built-in photo."""
    from PIL import Image

    from sdaug.contact import TILE
    from sdaug.photos import photo_path

    with Image.open(photo_path("astronaut")) as photo:
        whole = photo.convert("RGB")
    sheet = Image.new("RGB", ((TILE + 4) * (angles + 1), (TILE + 36) * 2), "white")
    for row in range(2):
        for column in range(angles + 1):
            side = int(rng.integers(180, 260))
            left, top = (int(rng.integers(0, size - side)) for size in whole.size)
            piece = whole.crop((left, top, left + side, top + side)).resize((TILE, TILE))
            sheet.paste(piece, (column * (TILE + 4) + 2, row * (TILE + 36) + 18))
    return sheet


def _result(key: str, setting: str, person: int, steps: int, angles: int, rng: np.random.Generator) -> dict[str, Any]:
    """One finished cell."""
    return {
        "schema": "sdaug.cell/5", "key": key, "setting": setting, "seed": 0, "status": "finished",
        "code_version": "0.1.0+0123456789ab", "person": f"somebody{person}",
        "settings": {
            "backend": "diffusion", "levers": {}, "generation": {"num_inference_steps": steps, "num_angles": angles},
        },
        "latency_s": {"import": 0.0, "load": 1.0, "first_call": 2.0, "call": [0.2 * steps + 0.01 * person]},
        "record": {
            "angles": [_angle(index, 0.5 + 0.002 * steps + 0.005 * person, rng) for index in range(angles)],
            "memory": {"resident_peak": 2 * 10**9, "resident_peak_sampled": 10**9 + 10**7 * steps,
                       "cuda_allocated_peak": None},
            "pack": {"name": "embedded", "recognisers": ["dlib_resnet"], "files": {"own.dat": "0" * 64}},
            "stages": {name: {"n": 1, "p50_s": s, "total_s": s, "values_s": [s]}
                       for name, s in (("warp", 0.1), ("unet", 0.02 * steps))},
            "generator": {}, "source": {"sha256": f"{person:064x}", "width_px": 512, "height_px": 512},
            "environment": {
                "processor": "a processor", "cores": 2, "gpu": None, "python": "3.11", "packages": {"sdaug": "1"},
            },
        },
    }  # fmt: skip


def _angle(index: int, similarity: float, rng: np.random.Generator) -> dict[str, Any]:
    yaw, pitch = POSES[index % len(POSES)]
    accepted = bool(rng.random() < 0.9)
    pose = {"yaw_deg": float(yaw), "pitch_deg": float(pitch)}
    alike = similarity - 0.004 * abs(yaw) + float(rng.normal(0, 0.01))
    judged = {"accepted": accepted, "reasons": [] if accepted else ["blurred"], "similarity": {"dlib_resnet": alike}}
    sharp = min(1.0, max(0.0, alike + float(rng.normal(0, 0.1))))
    judged["quality"] = {"blur": {"raw": 1 - sharp, "scalar": sharp}, "confidence": {"raw": 0.9, "scalar": 0.9}}
    return judged | {
        "index": index, "rung": "diffusion", "latency_s": 0.1, "image": None, "degraded": [], "requested": pose,
        "measured": pose, "raw": judged | {"similarity_at_requested_landmarks": {"dlib_resnet": alike}},
    }  # fmt: skip
