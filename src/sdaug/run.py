"""One load-time setting, run: every call-time setting under it on one photo, measured and written down."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import GenerationSettings, RunSettings
from sdaug.contact import contact_sheet
from sdaug.experiment import cell_key
from sdaug.output import write_images
from sdaug.record import manifest, write_json
from sdaug.types import Augmentation, Photo

SCHEMA = "sdaug.cell/1"
RESULT = "result.json"


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
    settings: RunSettings, generations: Sequence[GenerationSettings], photo: Photo, out: Path, repeats: int = 2
) -> list[dict[str, Any]]:
    """Runs `settings` once per entry of `generations`; writes `out/<cell key>/` with pictures and, last, `result.json`.

    Returns the results. An error ends the run; cells finished before it keep their results.
    """
    augmentor = GenerativeAugmentor(settings=settings)
    try:
        load_s = augmentor.load()
        results = []
        for generation in generations:
            augmentor.configure(generation=generation.model_dump())
            results.append(_run_cell(augmentor, settings, generation, photo, out, repeats, load_s))
        return results
    finally:
        augmentor.cleanup()


def _run_cell(
    augmentor: GenerativeAugmentor,
    settings: RunSettings,
    generation: GenerationSettings,
    photo: Photo,
    out: Path,
    repeats: int,
    load_s: float,
) -> dict[str, Any]:
    key = cell_key(settings, generation, photo.sha256)
    folder = out / key
    folder.mkdir(parents=True, exist_ok=True)
    timed = timed_calls(lambda: augmentor.augment(photo), repeats)
    images = write_images(folder, timed.record)
    Image.fromarray(contact_sheet(photo, timed.record.angles)).save(folder / "contact.png")
    result = {
        "schema": SCHEMA,
        "key": key,
        "status": "finished",
        "settings": settings.model_copy(update={"generation": generation}).model_dump(mode="json"),
        "latency_s": {"load": load_s, "first_call": timed.first_call_s, "call": list(timed.call_s)},
        "record": manifest(timed.record, images),
    }
    write_json(folder / RESULT, result)
    return result
