"""A folder of people to a bundle each, on any executor: what is done is not done again, what fails is a row."""

import functools
import hashlib
import json
import logging
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdaug.alone import LOCK, alone
from sdaug.augmentor import GenerativeAugmentor
from sdaug.cells import weights_digest
from sdaug.cohort import Cohort, read_cohort
from sdaug.config import RunSettings
from sdaug.enrol import enrol_records
from sdaug.enrolment.bundle import NO_TERMS, Terms
from sdaug.enrolment.manifest import subject_id
from sdaug.enrolment.verify import verify_bundle
from sdaug.executors import Executor, WorkersLost, serial
from sdaug.face.photo import read_photo
from sdaug.measure.digest import file_sha256
from sdaug.measure.source import code_version
from sdaug.photos import SUFFIXES
from sdaug.record import write_json
from sdaug.types import PhotoError

SCHEMA = "sdaug.enrol-folder/1"
BUNDLES, ROWS, INDEX = "bundles", "rows", "enrolled.json"
DONE = ("enrolled", "refused")
"""What stays as it is while photos and settings do; all else is tried again."""

_LOADED: dict[str, GenerativeAugmentor] = {}
_ONE_AT_A_TIME = threading.Lock()
"""Held while somebody is enrolled: a Dask worker may have several threads, and they would share the augmentor."""

log = logging.getLogger("sdaug.bulk")


class BulkError(ValueError):
    """A folder that cannot be enrolled as it stands; the message lists every fault."""


@dataclass(frozen=True)
class Enrolment:
    """One subject to be enrolled; plain values, so that it can be sent to another machine. key: of all it depends on;
    settings: of RunSettings, JSON-able; out: the folder of all subjects."""

    subject: str
    photos: tuple[str, ...]
    key: str
    settings: dict[str, Any]
    out: str
    face: int | str | None = None
    cohort: str | None = None
    terms: Terms = NO_TERMS

    @property
    def bundle(self) -> Path:
        return Path(self.out) / BUNDLES / self.subject

    @property
    def row(self) -> Path:
        return Path(self.out) / ROWS / f"{self.subject}.json"


def subjects_in(folder: Path) -> dict[str, tuple[str, ...]]:
    """Photos by subject: those of each sub-folder, which is called what the subject is, and each photo beside them.

    Raises BulkError naming every subject that comes twice, has no photo or a name that is no id; hidden entries are
    left alone.
    """
    if not folder.is_dir():
        raise BulkError(f"{str(folder)!r} is no folder; expected one with a sub-folder or a photo of each person")
    found: dict[str, tuple[str, ...]] = {}
    places: dict[str, list[str]] = {}
    faults = []
    for path in sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
        photos = [path] if path.suffix.lower() in SUFFIXES and path.is_file() else []
        if path.is_dir():
            photos = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not photos:
                faults.append(f"{path.name!r} holds no photo; expected files called {', '.join(SUFFIXES)}")
        if photos:
            subject = path.name if path.is_dir() else path.stem
            places.setdefault(subject, []).append(path.name)
            found[subject] = tuple(str(photo.resolve()) for photo in photos)
    for subject, names in places.items():
        try:
            subject_id(subject)
        except ValueError as error:
            faults.append(str(error))
        if len(names) > 1:
            faults.append(
                f"subject {subject!r} comes {len(names)} times: {', '.join(names)}; a sub-folder joins photos"
            )
    if not found and not faults:
        faults.append("there is neither a photo nor a sub-folder")
    if faults:
        raise BulkError(f"{folder}: " + "; ".join(faults))
    return found


def enrolments(
    subjects: Mapping[str, tuple[str, ...]],
    settings: RunSettings,
    out: Path,
    *,
    face: int | str | None = None,
    cohort: Path | None = None,
    terms: Terms = NO_TERMS,
    overwrite: bool = False,
) -> list[Enrolment]:
    """What there is to do. Raises BulkError where bundles of something else lie in `out`, unless they may go."""
    if terms.sign_with is not None or terms.key is not None:
        raise BulkError("keys are not sent to workers; sign or encrypt bundles one by one with `sdaug enrol`")
    whole = settings.model_dump(mode="json")
    others = sorted(file_sha256(p) for p in cohort.iterdir() if p.suffix.lower() in SUFFIXES) if cohort else None
    shared = [whole, _weights(settings), code_version(), face, others, asdict(terms)]
    tasks = []
    for subject, photos in subjects.items():
        content = json.dumps([shared, subject, [file_sha256(Path(photo)) for photo in photos]], sort_keys=True)
        key = hashlib.sha256(content.encode()).hexdigest()[:16]
        place = str(out.resolve())
        near = None if cohort is None else str(cohort.resolve())
        tasks.append(Enrolment(subject, photos, key, whole, place, face, near, terms))
    strangers = [t.subject for t in tasks if t.bundle.exists() and (read_row(t) or {}).get("key") != t.key]
    if strangers and not overwrite:
        raise BulkError(
            f"{len(strangers)} bundles in {out / BUNDLES} are of other photos, settings, weights or code "
            f"({', '.join(strangers[:5])}{' ...' if len(strangers) > 5 else ''}); --overwrite makes them anew"
        )
    return tasks


def read_row(task: Enrolment) -> dict[str, Any] | None:
    """What came of a subject, None where nothing was begun."""
    return json.loads(task.row.read_text(encoding="utf-8")) if task.row.is_file() else None


def to_do(tasks: Sequence[Enrolment]) -> list[Enrolment]:
    """Those not done yet, and those that failed."""
    return [task for task in tasks if not _done(task)]


def run_bulk(
    tasks: Sequence[Enrolment], executor: Executor = serial, progress: Callable[[str], object] = lambda subject: None
) -> list[dict[str, Any]]:
    """Enrols whoever is left and returns everybody's row, in order; `progress` is told who is done.

    Writes `bundles/<subject>/`, `rows/<subject>.json`, each with what came of it, and last `enrolled.json`.
    """
    try:
        for subject in executor(enrol_one, to_do(tasks)):
            progress(subject)
    except WorkersLost as lost:
        for task in lost.tasks:
            _write(task, "failed", error=str(lost))
            progress(task.subject)
    finally:
        forget()
    rows = [row for task in tasks if (row := read_row(task)) is not None]
    if tasks:
        write_json(Path(tasks[0].out) / INDEX, {"schema": SCHEMA, "subjects": rows})
    return rows


def enrol_one(task: Enrolment) -> str:
    """One subject's bundle and row, whatever happens; returns who it was. The model stays loaded for the next one."""
    with _ONE_AT_A_TIME, alone(task.row.with_suffix(LOCK), wait=True):
        if not _done(task):  # a fleet runs a task again whose answer was lost with a worker, as does who was killed
            # From here on a bundle of this subject is ours: being killed leaves one that may be replaced.
            _write(task, "started")
            _enrol(task)
    return task.subject


def _enrol(task: Enrolment) -> None:
    try:
        settings = RunSettings(**task.settings)
        photos = [read_photo(Path(photo)) for photo in task.photos]
        text = settings.model_dump_json()
        augmentor = _augmentor(text)
        others = None if task.cohort is None else _others(text, task.cohort)
        records = [augmentor.augment(photo, face=task.face, cohort=others) for photo in photos]
        enrol_records(
            photos, records, task.subject, task.bundle, settings, augmentor.pack, terms=task.terms, overwrite=True
        )
        report = verify_bundle(task.bundle)
    except PhotoError as error:
        _write(task, "refused", reason=error.reason.value, error=str(error))
    except Exception as error:
        log.warning("%s: %s: %s", task.subject, type(error).__name__, error)
        _write(task, "failed", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
        forget()
    else:
        _write(task, "enrolled", rows=report.rows, recogniser=report.recogniser, by_origin=report.by_origin)


def _done(task: Enrolment) -> bool:
    row = read_row(task)
    if row is None or row["key"] != task.key or row["status"] not in DONE:
        return False
    return row["status"] == "refused" or task.bundle.exists()


def _write(task: Enrolment, status: str, **what: Any) -> None:
    task.row.parent.mkdir(parents=True, exist_ok=True)
    task.bundle.parent.mkdir(parents=True, exist_ok=True)
    photos = [Path(photo).name for photo in task.photos]
    write_json(task.row, {"subject": task.subject, "key": task.key, "status": status, "photos": photos} | what)


def _weights(settings: RunSettings) -> str:
    """The digest of what is loaded; "" where no diffusion is asked for, and where the warp stands in for missing
    weights."""
    from sdaug.diffusion.components import WeightsMissing

    if settings.backend != "diffusion":
        return ""
    try:
        return weights_digest(settings.model)
    except WeightsMissing:
        if settings.strict:
            raise
        return ""


def _augmentor(settings: str) -> GenerativeAugmentor:
    """This process's one augmentor; other settings than before close the earlier one."""
    if settings not in _LOADED:
        forget()
        _LOADED[settings] = GenerativeAugmentor(settings=RunSettings.model_validate_json(settings))
    return _LOADED[settings]


@functools.lru_cache(maxsize=1)
def _others(settings: str, cohort: str) -> Cohort:
    return read_cohort(Path(cohort), _augmentor(settings).pack)


def let_go() -> None:
    """`forget`, unless somebody is just being enrolled here: another command's then, which will want it."""
    if _ONE_AT_A_TIME.acquire(blocking=False):
        try:
            forget()
        finally:
            _ONE_AT_A_TIME.release()


def forget() -> None:
    """Closes what this process has loaded."""
    _others.cache_clear()
    while _LOADED:
        _LOADED.popitem()[1].cleanup()
