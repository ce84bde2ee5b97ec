"""Photos of one person to an enrolment bundle: augment, keep what the gate keeps, embed the stored bytes, write."""

import datetime
import hashlib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from sdaug.augmentor import GenerativeAugmentor
from sdaug.cohort import read_cohort
from sdaug.config import RunSettings
from sdaug.enrolment.bundle import BundleSample, write_bundle
from sdaug.enrolment.facts import RULES as RULES
from sdaug.enrolment.facts import (
    acceptance_facts,
    detector_facts,
    evaluation_facts,
    policy_facts,
    recogniser_facts,
    tool_facts,
)
from sdaug.enrolment.store import check_free
from sdaug.enrolment.terms import NO_TERMS, Terms, check_person
from sdaug.packs import FacePack
from sdaug.record import plain
from sdaug.types import AngleResult, Augmentation, Photo, Pose, Reason

MAX_STORED_PX = 2048
"""A recogniser looks at 112 or 150 px of it; larger photos are scaled down before they are stored and embedded."""

CROP_MARGIN = 0.5
"""What a crop keeps around a face, as a share of its size."""


def enrol(
    photos: Sequence[Photo],
    subject: str,
    out: Path,
    settings: RunSettings,
    *,
    face: int | str | None = None,
    cohort: Path | None = None,
    terms: Terms = NO_TERMS,
    overwrite: bool = False,
) -> Path:
    """Writes the bundle of `subject` to `out`; every photo is augmented, the photos themselves come first.

    cohort: a folder of other people's photos, none of whom a view may be closer to than to this person. Raises
    PhotoError for a photo that cannot be used and ValueError for an unusable subject, term, target or cohort, before
    writing.
    """
    if not photos:
        raise ValueError("no photo given; expected at least one")
    check_free(out, terms.key, overwrite)
    check_person(subject, created_now(), terms)
    augmentor = GenerativeAugmentor(settings=settings)
    try:
        if terms.evaluation is not None:
            evaluation_facts(terms.evaluation, augmentor.pack.recognisers[0].name)
        others = None if cohort is None else read_cohort(cohort, augmentor.pack)
        records = [augmentor.augment(photo, face=face, cohort=others) for photo in photos]
        return enrol_records(photos, records, subject, out, settings, augmentor.pack, terms=terms, overwrite=overwrite)
    finally:
        augmentor.cleanup()


def enrol_records(
    photos: Sequence[Photo],
    records: Sequence[Augmentation],
    subject: str,
    out: Path,
    settings: RunSettings,
    pack: FacePack,
    *,
    reviewed_at: str | None = None,
    terms: Terms = NO_TERMS,
    overwrite: bool = False,
) -> Path:
    """Writes the bundle of `subject` from records that are there, one a photo, made with `settings` and `pack`.

    reviewed_at: when a person looked at what the gate kept (ISO 8601 with zone), None where nobody did.
    """
    check_free(out, terms.key, overwrite)
    samples = [captured(photo, record) for photo, record in zip(photos, records, strict=True)]
    for photo, record in zip(photos, records, strict=True):
        samples += [generated(photo, angle, reviewed_at) for angle in record.angles]
    not_evaluated = [check for sample in samples for check in sample.not_evaluated]
    policy = policy_facts(settings.gate, pack, records[0].source["cohort"], not_evaluated)
    return write_bundle(
        out,
        subject=subject,
        samples=samples,
        embed=lambda image: embed_largest(pack, image),
        recogniser=recogniser_facts(pack),
        detector=detector_facts(pack),
        generator=generator_facts(records[0]),
        policy=policy | {"acceptance": acceptance_facts(records)},
        tool=tool_facts(),
        created=created_now(),
        config_hash=hashlib.sha256(settings.model_dump_json().encode()).hexdigest(),
        terms=terms,
        overwrite=overwrite,
    )


def reviewed(record: Augmentation, rejected: Collection[int]) -> Augmentation:
    """`record` after a person has looked at it: the accepted angles whose index is `rejected` are refused for that."""

    def after(angle: AngleResult) -> AngleResult:
        if angle.index not in rejected or not angle.accepted:
            return angle
        no = replace(angle.judgement, accepted=False, reasons=(Reason.REJECTED_BY_REVIEWER,))
        return replace(angle, image=None, judgement=no)

    return replace(record, angles=tuple(after(angle) for angle in record.angles))


def created_now() -> str:
    """UTC to the second; SOURCE_DATE_EPOCH, where set, makes the bundle's bytes repeatable."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = (
        datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
        if epoch
        else datetime.datetime.now(datetime.timezone.utc)
    )
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def embed_largest(pack: FacePack, image: np.ndarray) -> np.ndarray | None:
    """The vector of the largest face in `image` by the pack's own recogniser, None if there is no face."""
    face = pack.largest(image)
    return None if face is None else pack.recognisers[0].embed(image, face)


def captured(photo: Photo, record: Augmentation) -> BundleSample:
    """The photo itself as a sample: always accepted, its quality on record."""
    return BundleSample(
        origin="captured",
        role="source",
        image=storable(
            photo.pixels if record.source["only_face"] else cropped(photo.pixels, record.source["face_box"])
        ),
        parent_sha256=photo.sha256,
        accepted=True,
        measured=record.source["pose"],
        quality=record.source["quality"],
    )


def cropped(pixels: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """The surroundings of one face (x0, y0, x1, y1): nobody else's face belongs in this person's bundle."""
    x0, y0, x1, y1 = box
    margin = CROP_MARGIN * max(x1 - x0, y1 - y0)
    top, left = max(round(y0 - margin), 0), max(round(x0 - margin), 0)
    return np.ascontiguousarray(pixels[top : round(y1 + margin), left : round(x1 + margin)])


def storable(pixels: np.ndarray) -> np.ndarray:
    """A photo's pixels as the bundle keeps them: at most MAX_STORED_PX on the longer side."""
    scale = MAX_STORED_PX / max(pixels.shape[:2])
    return pixels if scale >= 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def generated(photo: Photo, angle: AngleResult, reviewed_at: str | None = None) -> BundleSample:
    """One angle as a sample; a refused one carries its reasons and no pixels.

    reviewed_at: when a person looked at those that the gate kept; what they took back has the reason for it.
    """
    taken_back = Reason.REJECTED_BY_REVIEWER in angle.judgement.reasons
    seen = reviewed_at is not None and (angle.accepted or taken_back)
    return BundleSample(
        origin="generated" if angle.rung.startswith("diffusion") else "classical",
        role=role(angle.requested),
        image=angle.image,
        parent_sha256=photo.sha256,
        accepted=angle.accepted,
        requested=angle.requested,
        measured=angle.judgement.measured,
        rung=angle.rung,
        similarity=angle.judgement.similarity,
        quality=angle.judgement.quality,
        reasons=tuple(reason.value for reason in angle.judgement.reasons),
        degraded=tuple(reason.value for reason in angle.degraded),
        rules={rule: tuple(reason.value for reason in reasons) for rule, reasons in angle.judgement.by_rule.items()},
        checks=angle.judgement.checks,
        not_evaluated=angle.judgement.not_evaluated,
        reviewed=("refused" if taken_back else "accepted") if seen else None,
        reviewed_at=reviewed_at if seen else None,
    )


def role(pose: Pose) -> str:
    """The name of a requested pose.

    >>> role(Pose(45, 0))
    'yaw+45_pitch+00'
    """
    return f"yaw{pose.yaw_deg:+03.0f}_pitch{pose.pitch_deg:+03.0f}"


def generator_facts(record: Augmentation) -> dict[str, object]:
    """What made the images, for the manifest."""
    facts = json.loads(json.dumps(plain(record.generator)))
    return {"name": "sdaug", "version": version("sdaug"), **facts}
