"""Other people, to whom no view of the subject may be closer than to the subject."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.bands import find_band
from sdaug.face.photo import read_photo
from sdaug.packs import FacePack
from sdaug.photos import SUFFIXES
from sdaug.types import PhotoError, Reason

log = logging.getLogger("sdaug")


class CohortError(ValueError):
    """A folder that holds no cohort; the message says what was looked for."""


@dataclass(frozen=True)
class Cohort:
    """vectors: (N, dim) float32 by recogniser name, one row a person; sha256: of the photo behind each row, "" where
    there is none, as with enrolled templates. unusable: photos without a clear face."""

    vectors: Mapping[str, np.ndarray]
    sha256: tuple[str, ...] = ()
    unusable: int = 0


def read_cohort(folder: Path, pack: FacePack) -> Cohort:
    """The largest clear face of every photo in `folder`, not in its sub-folders; equal files count once.

    Vectors are kept in memory and of the pack's own recogniser alone: it is the one that judges. Photos without a face
    are counted and named in the log. Raises CohortError where not one face is found.
    """
    own = pack.recognisers[0]
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    rows: dict[str, np.ndarray] = {}
    unusable = 0
    for path in paths:
        try:
            photo = read_photo(path)
            if photo.sha256 in rows:
                continue
            face = pack.largest(photo.pixels)
            if face is None or face.landmarks is None:
                raise PhotoError(Reason.NO_FACE, "no clear face")
        except PhotoError as error:
            log.warning("cohort photo %s is left out (%s): %s", path.name, error.reason.value, error)
            unusable += 1
            continue
        rows[photo.sha256] = own.embed(photo.pixels, face)
    if not rows:
        raise CohortError(f"no face in cohort folder {folder}: {len(paths)} photos there; expected one a person")
    return Cohort({own.name: np.stack(list(rows.values()))}, tuple(rows), unusable)


def without_subject(
    cohort: Cohort, pack: FacePack, photo_sha256: str, source: np.ndarray
) -> tuple[Cohort, dict[str, Any]]:
    """The cohort less the rows that show the subject, and the facts of that for the record.

    source: the subject's own vector (dim,). A row is the subject's if it is of the same file or at least as similar as
    the band's `same_person`; without a band only the file tells.
    """
    own = pack.recognisers[0]
    band = find_band(own.sha256)
    vectors = cohort.vectors.get(own.name, np.zeros((0, own.dim), np.float32))
    files = cohort.sha256 or ("",) * len(vectors)
    keep = [
        i
        for i, (vector, sha256) in enumerate(zip(vectors, files, strict=True))
        if sha256 != photo_sha256 and (band is None or own.similarity(source, vector) < band.same_person)
    ]
    left_out = len(vectors) - len(keep)
    if left_out and cohort.sha256:  # whoever is enrolled again is among the templates: nothing to warn of
        log.warning("%d of the cohort's %d photos show the subject and are left out", left_out, len(vectors))
    facts = {"people": len(keep), "left_out_as_the_subject": left_out, "unusable": cohort.unusable}
    return Cohort({own.name: vectors[keep]}, tuple(files[i] for i in keep), cohort.unusable), facts
