"""The task `enrol`: photos of one person to a bundle and its templates."""

import functools
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from sdaug.augmentor import GenerativeAugmentor
from sdaug.cohort import Cohort, without_subject
from sdaug.enrol import embed_largest, generator_facts
from sdaug.enrolment.archive import zipped
from sdaug.enrolment.bundle import BundleSample, bundle_files
from sdaug.enrolment.facts import detector_facts, policy_facts, recogniser_facts, tool_facts
from sdaug.enrolment.layout import EMBEDDINGS, MANIFEST, canonical_json, digest
from sdaug.enrolment.manifest import Header, parse, parse_manifest
from sdaug.gate import Gate, Sight, embeddings, open_gate
from sdaug.measure.digest import array_sha256
from sdaug.packs import FacePack
from sdaug.record import plain
from sdaug.service.work.decoding import decode_upload
from sdaug.service.work.faults import faults, warning
from sdaug.service.work.portrait import Portrait, cut_portrait
from sdaug.service.work.variations import variations, wait_until_read
from sdaug.service.work.views import (
    Step,
    cohort_of,
    degradation,
    from_line,
    make_views,
    quality_of,
    view_samples,
)
from sdaug.types import Augmentation, PhotoError, Pose

Known = dict[str, np.ndarray]
"""Vectors by the digest of the pixels they were taken from: the bundle embeds stored bytes, which decode to the same
pixels, and a vector costs a tenth of a second."""


@dataclass
class Collected:
    """What an enrolment gathers, photo by photo."""

    samples: list[BundleSample] = field(default_factory=list)
    known: Known = field(default_factory=dict)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    records: list[Augmentation] = field(default_factory=list)
    views: list[BundleSample] = field(default_factory=list)
    cohort: dict[str, Any] | None = None
    failure: str | None = None
    generation_s: float = 0.0


def enrol(
    augmentor: GenerativeAugmentor,
    varying: FacePack,
    task: dict[str, Any],
    blobs: Sequence[bytes],
    max_pixels: int,
    step: Step,
) -> tuple[dict[str, Any], list[bytes]]:
    """The answer and the blobs (the bundle as a zip, its vectors float32 row by row).

    varying: the augmentor's pack, or its like whose recognisers do not hold up this process; it looks at variations.
    task: `subject`, `created`, `retention_until`, `consent`, `photos` (how many blobs are photos), `traditional`
    (bool), `angles` (how many a photo, 0 for none), `views` (facts of a preview's views; the PNGs of the accepted ones
    are the next blobs), `generator` (the facts of what made those, None without a preview), `cohort` (rows of other
    people's vectors in the last blob, 0 for none). Raises PhotoError where no photo can be used.
    """
    photos, rest = blobs[: task["photos"]], blobs[task["photos"] :]
    others = cohort_of(augmentor, task, blobs)
    got = Collected()
    refusal: PhotoError | None = None
    for index, data in enumerate(photos):
        try:
            _one_photo(augmentor, varying, task, index, data, others, max_pixels, step, got)
        except PhotoError as error:
            refusal = error
            got.rejected.append(
                {
                    "kind": "photo",
                    "photo": index,
                    "role": "source",
                    "reasons": [error.reason.value],
                    "message": str(error),
                }
            )
    if not got.samples:
        assert refusal is not None
        raise refusal
    # A preview belongs to its photo, which is the only one.
    pngs = iter(rest)
    got.samples += [from_line(facts, next(pngs) if facts["accepted"] else None) for facts in task["views"]]
    got.samples += got.views
    step("finalizing", text="Finalizing...")
    return _packed(augmentor, task, got)


def _one_photo(
    augmentor: GenerativeAugmentor,
    varying: FacePack,
    task: dict[str, Any],
    index: int,
    data: bytes,
    others: Cohort | None,
    max_pixels: int,
    step: Step,
    got: Collected,
) -> None:
    step("decoding", photo=index)  # each photo has the lane's patience for decoding, and no more
    photo = decode_upload(data, max_pixels)
    step("decoded", photo=index)
    if any(s.parent_sha256 == photo.sha256 for s in got.samples):
        got.rejected.append({"kind": "photo", "photo": index, "role": "source", "reasons": ["near_duplicate"],
                             "message": "the same file was given twice"})  # fmt: skip
        return
    portrait = cut_portrait(photo, augmentor.pack, augmentor.settings.min_source_face_px)
    gate = open_gate(augmentor.pack, augmentor.settings.gate, portrait.pixels, portrait.face)
    own = augmentor.pack.recognisers[0].name
    if others is not None:
        strangers, facts = without_subject(others, augmentor.pack, photo.sha256, gate.reference[own])
        gate = replace(gate, cohort=strangers.vectors)
        got.cohort = got.cohort or facts
    got.known[array_sha256(portrait.pixels)] = gate.reference[own]
    got.samples.append(_captured(portrait, gate))
    got.warnings += warning(index, faults(gate.measures, gate.source_quality))
    if task["traditional"]:
        step("varying", photo=index)
        wait_until_read(step)
        for sample, vector in _varied(portrait, gate, varying, step):
            got.samples.append(sample)
            if sample.accepted and sample.image is not None and vector is not None:
                got.known[array_sha256(sample.image)] = vector
            elif not sample.accepted:
                got.rejected.append(_rejection("traditional", index, sample))
    if task["angles"] and got.failure is None:
        _generate(augmentor, portrait, task["angles"], others, step, index, got)


def _generate(
    augmentor: GenerativeAugmentor,
    portrait: Portrait,
    angles: int,
    others: Cohort | None,
    step: Step,
    index: int,
    got: Collected,
) -> None:
    """Views of one photo. Whatever goes wrong costs the views and not the enrolment."""
    began = time.perf_counter()
    try:
        record = make_views(augmentor, portrait.photo, angles, others, step)
        samples = view_samples(augmentor, portrait.photo, record)
    except Exception as error:
        got.failure = failure_word(error)
        return
    finally:
        got.generation_s += time.perf_counter() - began
    got.records.append(record)
    got.views += samples
    own = augmentor.pack.recognisers[0].name
    for angle, sample in zip(record.angles, samples, strict=True):
        if sample.accepted and sample.image is not None:
            got.known[array_sha256(sample.image)] = angle.judgement.vectors[own]
        else:
            got.rejected.append(_rejection("generated", index, sample))


def failure_word(error: Exception) -> str:
    """One word for a generator that failed: a `Reason` where there is one."""
    from sdaug.diffusion.descent import out_of_memory

    reason = getattr(error, "reason", None)
    if reason is not None:
        return str(getattr(reason, "value", reason))
    return "out_of_memory" if out_of_memory(error) else "generator_failed"


def _captured(portrait: Portrait, gate: Gate) -> BundleSample:
    return BundleSample(
        origin="captured",
        role="source",
        image=portrait.pixels,
        parent_sha256=portrait.photo.sha256,
        accepted=True,
        measured=portrait.face.pose,
        quality=dict(gate.source_quality),
    )


def _varied(
    portrait: Portrait, gate: Gate, varying: FacePack, step: Step
) -> list[tuple[BundleSample, np.ndarray | None]]:
    assert portrait.face.pose is not None
    own = gate.pack.recognisers[0].name
    made = variations(portrait.pixels, portrait.face.pose)
    found = []
    for (role, (image, pose)), sight in zip(made.items(), _sights(gate, varying, made, step), strict=True):
        judged = gate.decide(sight, pose)
        found.append(
            (
                BundleSample(
                    origin="classical",
                    role=role,
                    image=image if judged.accepted else None,
                    parent_sha256=portrait.photo.sha256,
                    accepted=judged.accepted,
                    requested=pose,
                    measured=judged.measured,
                    similarity=judged.similarity,
                    quality=judged.quality,
                    reasons=tuple(reason.value for reason in judged.reasons),
                    rules={rule: tuple(reason.value for reason in said) for rule, said in judged.by_rule.items()},
                    checks=judged.checks,
                    not_evaluated=judged.not_evaluated,
                ),
                judged.vectors.get(own),
            )
        )
    return found


def _sights(
    gate: Gate, varying: FacePack, made: Mapping[str, tuple[np.ndarray, Pose]], step: Step
) -> list[Sight | None]:
    """What is seen on each image. Vectors are nine tenths of it: `varying` takes them from the first on, and once all
    is seen the gate's own pack helps from the last on."""
    looked: list[tuple[np.ndarray, Sight | None, Future[dict[str, np.ndarray]] | None]] = []
    with ThreadPoolExecutor(1) as beside:
        for role, (image, _) in made.items():
            step("variation", role=role)
            seen = gate.see(image)
            looked.append((image, seen, None if seen is None else beside.submit(embeddings, varying, image, seen.face)))
        sights: list[Sight | None] = []
        for image, seen, later in reversed(looked):
            if seen is not None and later is not None:
                vectors = embeddings(gate.pack, image, seen.face) if later.cancel() else later.result()
                seen = replace(seen, vectors=vectors)
            sights.append(seen)
    return sights[::-1]


def _rejection(kind: str, index: int, sample: BundleSample) -> dict[str, Any]:
    return {"kind": kind, "photo": index, "role": sample.role, "reasons": list(sample.reasons), "message": None}


def _embedder(augmentor: GenerativeAugmentor, known: Known) -> Callable[[np.ndarray], np.ndarray | None]:
    def embed(image: np.ndarray) -> np.ndarray | None:
        vector = known.get(array_sha256(image))
        return embed_largest(augmentor.pack, image) if vector is None else vector

    return embed


def _packed(augmentor: GenerativeAugmentor, task: dict[str, Any], got: Collected) -> tuple[dict[str, Any], list[bytes]]:
    header = _header(augmentor, task, got)
    files = bundle_files(header, got.samples, _embedder(augmentor, got.known))
    manifest = parse_manifest(files[MANIFEST])  # `bundle_files` has verified what it made
    rows, dim = len(manifest.accepted), header.recogniser.dim
    vectors = files[EMBEDDINGS][-4 * rows * dim :]  # a safetensors file ends with its one tensor
    archive = zipped(files)
    accepted = manifest.accepted
    views = [s for s in got.views if s.accepted]
    scores = [quality_of(augmentor, s) for s in views]
    answer = {
        "origins": [s.origin for s in accepted],
        "samples": [
            {"row": s.row, "role": s.role, "origin": s.origin, "rung": s.rung, "measured": plain(s.measured),
             "similarity": s.similarity}
            for s in accepted
        ],  # fmt: skip
        "dim": dim,
        "recogniser": {"name": header.recogniser.name, "sha256": header.recogniser.sha256},
        "bundle_sha256": digest(archive),
        "rejected": got.rejected,
        "warnings": got.warnings,
        "generation_s": round(got.generation_s, 3),
        "quality": {"average": round(sum(scores) / len(scores), 4), "min": round(min(scores), 4),
                    "max": round(max(scores), 4)} if scores else None,
        "degraded": {"reason": got.failure, "reasons": [got.failure], "by_rung": {}} if got.failure
        else degradation(got.views),
    }  # fmt: skip
    return answer, [archive, vectors]


def _header(augmentor: GenerativeAugmentor, task: dict[str, Any], got: Collected) -> Header:
    pack, settings = augmentor.pack, augmentor.settings
    made = generator_facts(got.records[0]) if got.records else task["generator"]
    not_evaluated = [check for sample in got.samples for check in sample.not_evaluated]
    policy = policy_facts(settings.gate, pack, got.cohort, not_evaluated) | {
        "traditional": task["traditional"],
        "angles": task["angles"],
    }
    if task.get("review"):
        policy["review"] = task["review"]
    content = {
        "subject": task["subject"],
        "created": task["created"],
        "tool": _tool(),
        "config_hash": hashlib.sha256(settings.model_dump_json().encode()).hexdigest(),
        "recogniser": recogniser_facts(pack),
        "detector": detector_facts(pack),
        "generator": made or {"name": "sdaug", "version": version("sdaug")},
        "policy": policy,
        "consent": task["consent"],
        "retention_until": task["retention_until"],
    }
    return parse(Header, canonical_json(content))


@functools.cache
def _tool() -> dict[str, Any]:
    # Once: a checkout that changes later does not change the code that this process has read.
    return tool_facts() | {"name": "sdaug.service"}
