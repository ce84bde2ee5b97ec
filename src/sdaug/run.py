"""One load-time setting, run: every call under it, each on one photo, measured and written down."""

import datetime
import os
import platform
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdaug.augmentor import GenerativeAugmentor
from sdaug.bench.floors import record_floor_s
from sdaug.bench.timing import Spent, check_floor
from sdaug.config import GenerationSettings, RunSettings
from sdaug.contact import contact_sheet
from sdaug.diffusion.libraries import import_libraries
from sdaug.face.photo import read_photo
from sdaug.measure.board import watch_board
from sdaug.measure.source import code_version
from sdaug.output import write_images
from sdaug.photos import photo_path
from sdaug.record import manifest, write_json
from sdaug.types import Augmentation

SCHEMA = "sdaug.cell/5"
RESULT = "result.json"
VECTORS = "vectors.npz"


@dataclass(frozen=True)
class Timed:
    """A call's record and what repeating it cost: seconds of the first call and of each later one."""

    record: Augmentation
    first_call_s: float
    call_s: tuple[float, ...]


def timed_calls(call: Callable[[], Augmentation], repeats: int) -> Timed:
    """Calls once, keeps that record, then `repeats` times more for the steady latency."""
    started = time.perf_counter()
    record = call()
    first = time.perf_counter() - started
    later = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        later.append(time.perf_counter() - started)
    return Timed(record, first, tuple(later))


def run_settings(
    settings: RunSettings, calls: Sequence[Mapping[str, Any]], out: Path, repeats: int = 2
) -> list[dict[str, Any]]:
    """Runs `settings` once per entry of `calls`, as `Cell.call` has them; writes `out/<key>/` with pictures, vectors
    and, last, `result.json`.

    Returns the results. A call that raises is a result too, with its error; the next one runs all the same. An error of
    loading is raised.
    """
    augmentor = GenerativeAugmentor(settings=settings)
    try:
        before = {"import": import_libraries() if settings.backend == "diffusion" else 0.0, "load": augmentor.load()}
        return [_run_cell(augmentor, settings, call, out, repeats, before) for call in calls]
    finally:
        augmentor.cleanup()


def failed(call: Mapping[str, Any], settings: RunSettings, status: str, error: str, **more: Any) -> dict[str, Any]:
    """The result of a cell that made nothing. status: "failed" or "skipped"."""
    return _head(call, settings, status) | {"error": error} | more


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes `folder/result.json`; what else belongs to the result must lie there already."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RESULT, result)


def device(environment: Mapping[str, Any]) -> str:
    """Which of a fleet's devices this is: what computes, where, and of several GPUs which this process may use.

    >>> device({"gpu": "Orin", "processor": "ARMv8"}).startswith("Orin on ")
    True
    """
    name = f"{environment['gpu'] or environment['processor']} on {platform.node()}"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"{name}, GPU {visible}" if environment["gpu"] and visible else name


def _run_cell(
    augmentor: GenerativeAugmentor,
    settings: RunSettings,
    call: Mapping[str, Any],
    out: Path,
    repeats: int,
    before: Mapping[str, float],
) -> dict[str, Any]:
    folder = out / call["key"]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        augmentor.configure(generation=call["generation"])
        photo = read_photo(photo_path(call["photo"]))
        with watch_board() as looks:
            timed = timed_calls(lambda: augmentor.augment(photo), repeats)
        floor_s = record_floor_s(timed.record, settings.model)
        check_floor(call["key"], (timed.first_call_s, *timed.call_s), floor_s)
        images = write_images(folder, timed.record)
        np.savez(folder / VECTORS, **_vectors(timed.record))
        Image.fromarray(contact_sheet(photo, timed.record.angles)).save(folder / "contact.png")
    except Exception as error:
        trace = traceback.format_exc()
        result = failed(call, settings, "failed", f"{type(error).__name__}: {error}", traceback=trace)
    else:
        result = _head(call, settings, "finished") | {
            "device": device(timed.record.environment),
            "latency_s": {**before, "first_call": timed.first_call_s, "call": list(timed.call_s)},
            "steady": Spent(timed.first_call_s, timed.call_s).report() if timed.call_s else None,
            "floor_s": floor_s,
            "telemetry": looks.report(),
            "looks": len(looks.states),
            "energy_j": looks.energy_j,
            "record": manifest(timed.record, images),
        }
    write_result(folder, result)
    return result


def _head(call: Mapping[str, Any], settings: RunSettings, status: str) -> dict[str, Any]:
    generation = GenerationSettings.model_validate(call["generation"])
    return {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "code_version": code_version(),
        "key": call["key"],
        "setting": call["setting"],
        "person": call["person"],
        "seed": generation.seed,
        "status": status,
        "settings": settings.model_copy(update={"generation": generation}).model_dump(mode="json"),
    }


def _vectors(record: Augmentation) -> dict[str, np.ndarray]:
    """Of each angle's image, and as `raw_...` of diffusion's own, by `<index>_<recogniser>`, where there is a face."""
    found = {}
    for angle in record.angles:
        stages = {"": angle.judgement} | ({} if angle.raw is None else {"raw_": angle.raw.judgement})
        for stage, judgement in stages.items():
            for name, vector in judgement.vectors.items():
                found[f"{stage}{angle.index}_{name}"] = vector.astype(np.float32)
    return found
