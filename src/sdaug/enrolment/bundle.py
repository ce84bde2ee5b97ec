"""Write an enrolment bundle: mark each image, embed the bytes that are stored, list everything, publish at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.enrolment.coverage import coverage, pose_map
from sdaug.enrolment.facts import evaluation_facts
from sdaug.enrolment.layout import (
    EMBEDDINGS,
    MANIFEST,
    SIGNATURE,
    SUMS,
    canonical_json,
    digest,
    image_path,
    sums_text,
    tensor_bytes,
)
from sdaug.enrolment.manifest import FileFact, Header, Manifest, parse
from sdaug.enrolment.marking import decode_png, encode_png
from sdaug.enrolment.sample import Decision, Origin, SampleFacts, SampleRecord
from sdaug.enrolment.signing import fingerprint, public_of, signature
from sdaug.enrolment.store import check_free, publish
from sdaug.enrolment.terms import NO_TERMS, Terms, person_facts
from sdaug.enrolment.verify import Expected, check_files, check_vectors
from sdaug.types import Pose, QualityScore, Reason, Rung

Embed = Callable[[np.ndarray], np.ndarray | None]
"""(H, W, 3) uint8 RGB to (D,), or None where no face can be embedded."""


@dataclass(frozen=True)
class BundleSample:
    """One image that was considered. It carries no embedding: that is taken from the stored bytes.

    origin: "captured" (a photo), "classical" (made without a generative model), "generated" (diffusion had a part).
    role: what it is for, lower case, as "source" or "yaw+45_pitch+00"; part of the file name.
    image: (H, W, 3) uint8 RGB; needed if accepted, not stored if refused.
    parent_sha256: digest of the photo it was made from; for a captured sample, of the photo file itself.
    rung: what made it, None for a photo. degraded: why each better rung was left. reasons: why it was refused.
    rules, checks, not_evaluated: the reasons of each acceptance rule, the figures compared (None = not measured), and
    the checks that could not be made. reviewed, reviewed_at: what a person said of it, and when (ISO 8601 with zone).
    """

    origin: Origin
    role: str
    image: np.ndarray | None
    parent_sha256: str
    accepted: bool
    requested: Pose | None = None
    measured: Pose | None = None
    rung: Rung | None = None
    similarity: dict[str, float] = field(default_factory=dict)
    quality: dict[str, QualityScore] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    rules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    checks: dict[str, float | None] = field(default_factory=dict)
    not_evaluated: tuple[str, ...] = ()
    reviewed: Decision | None = None
    reviewed_at: str | None = None


def write_bundle(
    path: Path,
    *,
    subject: str,
    samples: Sequence[BundleSample],
    embed: Embed,
    recogniser: dict[str, Any],
    detector: dict[str, Any],
    generator: dict[str, Any],
    policy: dict[str, Any],
    tool: dict[str, Any],
    created: str,
    config_hash: str | None = None,
    terms: Terms = NO_TERMS,
    overwrite: bool = False,
) -> Path:
    """Write the bundle and return its path: a folder, a zip if the name ends so, an encrypted file if the terms hold a
    key. Same arguments and libraries, same bytes.

    subject: opaque id, 1 to 128 printable characters without path separators; never a name or national id.
    recogniser: `name`, `sha256` of its model file, `dim`, `metric` ("cosine": `embed` returns unit norm, 1 +- 2e-4;
    "euclidean": raw vectors, finite and not zero). detector: `name`. generator and tool: `name`, `version`. All four
    may hold more. created: ISO 8601 with zone.

    A sample that `embed` returns None for is listed as refused, reason "face_not_found". ValueError, with nothing
    written, for bad arguments or when no captured sample is left; FileExistsError when `path` is anything but
    (with `overwrite`) a bundle.
    """
    check_free(Path(path), terms.key, overwrite)
    header = parse(
        Header,
        canonical_json(
            {
                **person_facts(subject, created, terms),
                "tool": tool,
                "config_hash": config_hash,
                "recogniser": {"normalised": recogniser.get("metric") == "cosine", **recogniser},
                "detector": detector,
                "generator": generator,
                "policy": policy,
                "evaluation": terms.evaluation and evaluation_facts(terms.evaluation, str(recogniser.get("name"))),
                "signer": terms.sign_with and fingerprint(public_of(terms.sign_with)),
            }
        ),
    )
    files = bundle_files(header, samples, embed, terms.include_images, terms.sign_with)
    return publish(Path(path), files, terms.key, overwrite)


def bundle_files(
    header: Header,
    samples: Sequence[BundleSample],
    embed: Embed,
    include_images: bool = True,
    sign_with: bytes | None = None,
) -> dict[str, bytes]:
    """Every file of the bundle by its path in it: what a folder or an archive then holds. Already verified.

    sign_with: the private key (32 bytes) of the signer that the header names, None where it names none.
    """
    facts = [_facts(index, sample) for index, sample in enumerate(samples)]
    if not any(s.accepted and s.origin == "captured" for s in samples):
        raise ValueError("no captured sample is accepted; an enrolment rests on at least one real photo")
    with ThreadPoolExecutor() as pool:  # compressing releases the interpreter's lock
        stored = list(pool.map(lambda sample: _stored(header, sample), samples))
    files: dict[str, bytes] = {}
    rows: list[np.ndarray] = []
    records: list[SampleRecord] = []
    for sample, fact, kept in zip(samples, facts, stored, strict=True):
        record = dict(fact) | {"synthetic": sample.origin != "captured", "decision": "refused"}
        record |= {"row": None, "image": None, "image_sha256": None}
        if kept is not None:
            png, pixels = kept
            vector = embed(pixels)
            if vector is None:
                record["reasons"] = (*fact.reasons, Reason.FACE_NOT_FOUND)
            else:
                path = image_path(len(rows), sample.role)
                record |= {"decision": "accepted", "row": len(rows), "image_sha256": digest(png)}
                rows.append(_vector(vector, header, sample.role))
                if include_images:
                    files[path] = png
                    record["image"] = path
        records.append(SampleRecord.model_validate(record))
    if not any(r.row is not None and r.origin == "captured" for r in records):
        raise ValueError("no captured sample can be embedded; an enrolment rests on at least one real photo")

    files[EMBEDDINGS] = tensor_bytes(np.stack(rows), header.tensor_facts())
    head = dict(header)
    points = coverage(records)
    content = {
        "schema": head.pop("format"),
        "samples": tuple(records),
        "pose_coverage": points,
        "pose_map": pose_map(points),
        "files": {path: FileFact(sha256=digest(data), size=len(data)) for path, data in files.items()},
    }
    files[MANIFEST] = Manifest.model_validate(head | content).to_bytes()
    if sign_with is not None:
        files[SIGNATURE] = signature(sign_with, files[MANIFEST])
    files[SUMS] = sums_text({path: digest(data) for path, data in files.items()})
    check_files(files, expected=Expected(public_key=sign_with and public_of(sign_with)))
    return files


def _facts(index: int, sample: BundleSample) -> SampleFacts:
    try:
        if sample.accepted and sample.image is None:
            raise ValueError("accepted, but without an image to embed")
        if not sample.accepted and not sample.reasons:
            raise ValueError("refused without a reason")
        raw = {key: value for key, value in vars(sample).items() if key not in ("image", "accepted")}
        for key in ("requested", "measured"):
            raw[key] = raw[key] and {name: float(angle) for name, angle in asdict(raw[key]).items()}
        raw["checks"] = {n: None if v is None else round(float(v), 6) for n, v in sample.checks.items()}
        raw["similarity"] = {name: float(score) for name, score in sample.similarity.items()}
        raw["quality"] = {n: {"raw": float(q.raw), "scalar": float(q.scalar)} for n, q in sample.quality.items()}
        return parse(SampleFacts, canonical_json(raw))
    except ValueError as error:
        raise ValueError(f"samples[{index}] ({sample.role!r}): {error}") from error


def _stored(header: Header, sample: BundleSample) -> tuple[bytes, np.ndarray] | None:
    """The file of an accepted image and the pixels that it holds."""
    if sample.image is None or not sample.accepted:
        return None
    png = encode_png(sample.image, **_mark(header, sample))
    return png, decode_png(png)[0]


def _mark(header: Header, sample: BundleSample) -> dict[str, Any]:
    if sample.origin == "captured":
        return {"synthetic": False, "provenance": None}
    mark = {
        "origin": sample.origin,
        "generator": header.generator.name,
        "version": header.generator.version,
        "parent_sha256": sample.parent_sha256,
    }
    return {"synthetic": True, "provenance": mark | ({"rung": sample.rung} if sample.rung else {})}


def _vector(vector: np.ndarray, header: Header, role: str) -> np.ndarray:
    row = np.asarray(vector, dtype=np.float32)
    if row.shape != (header.recogniser.dim,):
        wanted = f"{header.recogniser.name} says ({header.recogniser.dim},)"
        raise ValueError(f"embedding of {role!r} has shape {row.shape}, {wanted}")
    try:
        check_vectors(row[None], header.recogniser.metric)
    except ValueError as error:
        raise ValueError(f"embedding of {role!r}: {error}") from error
    return row
