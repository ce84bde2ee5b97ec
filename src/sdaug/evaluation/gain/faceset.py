"""A face set as an enrolment trial: of each person one photo to enrol, three for the ceiling, the rest as probes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pydantic import Field

from sdaug.config import Config
from sdaug.evaluation.second_pose import second_pose
from sdaug.face.photo import photo_from_array, read_photo
from sdaug.packs import FacePack
from sdaug.types import Face, Photo, Pose

_NAME = re.compile(r"(?P<subject>[^_]+)_(?P<key>.+)\.(png|jpe?g|webp|bmp|tiff?)", re.IGNORECASE)

ENLARGE_BELOW = 224
"""Photos whose longer side is shorter than this are enlarged by a whole factor..."""

ENLARGED_SIDE = 448
"""...to this at most: face detectors and the landmark network want more than a thumbnail."""

CEILING_PHOTOS = 3

YAW_BINS: dict[str, tuple[float, float]] = {
    "0-15": (0, 15), "15-30": (15, 30), "30-45": (30, 45), "45-60": (45, 60), "60+": (60, 180),
}  # fmt: skip
"""|yaw| of a probe, degrees: from, up to but without."""

UNREADABLE = "unreadable"
"""The bin of probes whose pose cannot be read: full profiles, where the pack's detector gives no points of its own."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, of how much."""


@dataclass(frozen=True)
class Sample:
    """One photo and the largest face in it, None where the pack finds none (a failure to acquire).

    second_yaw_deg: |yaw| by the second, weaker estimate, which also reads profiles.
    """

    key: str
    photo: Photo
    face: Face | None
    second_yaw_deg: float | None = None


@dataclass(frozen=True)
class Person:
    """source: the one photo that is enrolled, its face and pose known. ceiling: the photos of arm `real_photos`, the
    source first. probes: all the others, the same in every arm, those without a face included."""

    subject: str
    source: Sample
    ceiling: tuple[Sample, ...]
    probes: tuple[Sample, ...]


class Degradation(Config):
    """What surveillance does to a probe: the face's longer side in pixels, then a Gaussian blur of that image, in its
    pixels. None and 0 = as photographed."""

    face_px: float | None = Field(default=None, gt=0)
    blur_px: float = Field(default=0.0, ge=0)


def read_people(folder: Path, pack: FacePack, progress: Progress, limit: int | None = None) -> list[Person]:
    """Every person of a folder with files `<subject>_<key>.<ext>` who has enough photos, sorted by subject.

    limit: only the first so many subjects are looked at.
    Raises FileNotFoundError where no file has such a name, ValueError for fewer than 3 people (the choice of a fusion
    on others needs two others).
    """
    named = [(match, path) for path in sorted(folder.glob("*")) if (match := _NAME.fullmatch(path.name))]
    if not named:
        raise FileNotFoundError(f"{folder} holds no photo named <subject>_<key>.<ext>, such as t01_07.png")
    first = sorted({match["subject"] for match, _ in named})[:limit]
    named = [(match, path) for match, path in named if match["subject"] in first]
    samples: dict[str, list[Sample]] = {}
    for done, (match, path) in enumerate(named, 1):
        samples.setdefault(match["subject"], []).append(_sample(path.stem, enlarged(read_photo(path)), pack))
        progress("photos", done, len(named))
    people = [trial for subject, own in samples.items() if (trial := as_trial(subject, own)) is not None]
    if len(people) < 3:
        raise ValueError(
            f"{folder} holds {len(people)} people with {CEILING_PHOTOS} photos of a face and one more, and "
            "a readable most frontal one; expected at least 3"
        )
    return people


def _sample(key: str, photo: Photo, pack: FacePack) -> Sample:
    face = pack.largest(photo.pixels)
    second = second_pose(photo.pixels, face, pack) if face is not None and face.pose is None else None
    return Sample(key, photo, face, None if second is None else abs(second.yaw_deg))


def as_trial(subject: str, samples: Sequence[Sample]) -> Person | None:
    """The most frontal photo as the source, it and two more spread evenly over the order of pose as ceiling, the rest
    as probes. None where that leaves no probe, or where no photo's pose can be read.

    Names say nothing: the order is that of the measured |yaw|, then, where the landmark network sees no face, of the
    second estimate's.
    """
    ranked = sorted((s for s in samples if s.face is not None), key=_turn)
    if len(ranked) < CEILING_PHOTOS or len(samples) <= CEILING_PHOTOS or _turn(ranked[0])[0]:
        return None
    places = np.linspace(0, len(ranked) - 1, CEILING_PHOTOS).round().astype(int)
    ceiling = tuple(ranked[place] for place in places)
    return Person(subject, ranked[0], ceiling, tuple(s for s in samples if s not in ceiling))


def _turn(sample: Sample) -> tuple[bool, float]:
    """Sorts samples from frontal to profile, those with a readable pose first."""
    if sample.face is not None and sample.face.pose is not None:
        return False, abs(sample.face.pose.yaw_deg)
    return True, np.inf if sample.second_yaw_deg is None else sample.second_yaw_deg


def enlarged(photo: Photo) -> Photo:
    """The photo, or a small one enlarged; see ENLARGE_BELOW."""
    side = max(photo.pixels.shape[:2])
    if side >= ENLARGE_BELOW:
        return photo
    factor = ENLARGED_SIDE // side
    pixels = cv2.resize(photo.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return Photo(pixels, photo.sha256, photo.name)


def degraded(sample: Sample, how: Degradation, pack: FacePack) -> Sample:
    """A probe as a distant camera would have seen it, at its former size, its face sought anew.

    A probe without a face stays as it is, and so does one whose face is as small already where no blur is asked for.
    """
    if sample.face is None or how == Degradation():
        return sample
    x0, y0, x1, y1 = sample.face.box
    height, width = sample.photo.pixels.shape[:2]
    shrink = min(1.0, (how.face_px or np.inf) / max(x1 - x0, y1 - y0))
    size = max(round(width * shrink), 8), max(round(height * shrink), 8)
    pixels = cv2.resize(sample.photo.pixels, size, interpolation=cv2.INTER_AREA)
    if how.blur_px > 0:
        pixels = cv2.GaussianBlur(pixels, (0, 0), how.blur_px)
    photo = photo_from_array(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC))
    return Sample(sample.key, photo, pack.largest(photo.pixels), sample.second_yaw_deg)


def yaw_bin(pose: Pose | None) -> str:
    """The name of a probe's bin.

    >>> yaw_bin(Pose(-20, 0)), yaw_bin(None)
    ('15-30', 'unreadable')
    """
    if pose is None:
        return UNREADABLE
    return next(name for name, (low, high) in YAW_BINS.items() if low <= abs(pose.yaw_deg) < high)
