"""Is this bundle whole, unchanged and fit for this recogniser? Everything that is wrong is said at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdaug.enrolment.layout import EMBEDDINGS, MANIFEST, SIGNATURE, SUMS, digest, sums_text, tensor_header
from sdaug.enrolment.manifest import Manifest, parse_manifest
from sdaug.enrolment.marking import SOURCE_TYPES, decode_png
from sdaug.enrolment.sample import SampleRecord
from sdaug.enrolment.signing import signature_faults
from sdaug.enrolment.store import read_bundle

NORM_TOLERANCE = 2e-4
"""How far a unit vector's norm may lie from 1: float32 rounding over a few hundred dimensions, and no more."""


class BundleError(ValueError):
    """A bundle that must not be used. `faults`: every reason found."""

    def __init__(self, faults: Iterable[str]):
        self.faults = tuple(faults)
        super().__init__("bundle refused:\n" + "\n".join(f"- {fault}" for fault in self.faults))


@dataclass(frozen=True)
class BundleReport:
    """What a verified bundle holds. by_origin: the accepted samples of each origin. signer: the fingerprint of the key
    that signed it, None where nobody did."""

    subject: str
    rows: int
    dim: int
    recogniser: str
    by_origin: dict[str, int]
    refused: int
    signer: str | None
    retention_until: str | None


@dataclass(frozen=True)
class Expected:
    """What a bundle is held against beside itself.

    recogniser_sha256: of the recogniser that will use it. public_key: the Ed25519 key (32 bytes) that must have signed
    it. unverified_signature: whether a signed bundle is taken although nobody gave the key to check it with. key: what
    opens an encrypted bundle (32 bytes).
    """

    recogniser_sha256: str | None = None
    public_key: bytes | None = None
    unverified_signature: bool = False
    key: bytes | None = field(default=None, repr=False)


def verify_bundle(path: Path, recogniser_sha256: str | None = None, expected: Expected | None = None) -> BundleReport:
    """Check a bundle (folder, zip or encrypted file) against itself and, if given, against the digest of the recogniser
    that will use it, or all that `expected` holds.

    Raises BundleError with every fault found. Without a public key this proves that nothing changed by accident or by a
    change of one part; whoever can rewrite all parts is noticed by the signature alone.
    """
    return report(load_embeddings(path, recogniser_sha256, expected)[1])


def load_embeddings(
    path: Path, recogniser_sha256: str | None = None, expected: Expected | None = None
) -> tuple[np.ndarray, Manifest]:
    """Verify (as `verify_bundle`), then the embeddings (N, D) float32 in row order and the manifest.

    The bytes that were verified are the bytes that are returned; nothing is read twice.
    """
    files, faults = read_bundle(path, None if expected is None else expected.key)
    return check_files(files, recogniser_sha256, faults, expected)


def report(manifest: Manifest) -> BundleReport:
    """The report of a verified manifest."""
    origins = [s.origin for s in manifest.accepted]
    counts = {origin: origins.count(origin) for origin in ("captured", "classical", "generated")}
    return BundleReport(
        subject=manifest.subject,
        rows=len(origins),
        dim=manifest.recogniser.dim,
        recogniser=manifest.recogniser.name,
        by_origin=counts,
        refused=len(manifest.samples) - len(origins),
        signer=manifest.signer,
        retention_until=manifest.retention_until,
    )


def check_files(
    files: Mapping[str, bytes],
    recogniser_sha256: str | None = None,
    faults: Iterable[str] = (),
    expected: Expected | None = None,
) -> tuple[np.ndarray, Manifest]:
    """`load_embeddings` for a bundle held as path to content. faults: what is known to be wrong already."""
    wanted = expected or Expected()
    recogniser_sha256 = recogniser_sha256 or wanted.recogniser_sha256
    if faults and not files:
        raise BundleError(faults)
    found = list(faults) + [f"{name} is missing" for name in (MANIFEST, SUMS) if name not in files]
    if MANIFEST not in files:
        raise BundleError(found)
    try:
        manifest = parse_manifest(files[MANIFEST])
    except ValueError as error:
        raise BundleError([*found, f"{MANIFEST}: {error}"]) from error

    listed = {path: fact.sha256 for path, fact in manifest.files.items()}
    unlisted = {path: digest(files[path]) for path in (MANIFEST, SIGNATURE) if path in files}
    found += [f"{path!r} is not listed" for path in sorted(set(files) - set(listed) - set(unlisted) - {SUMS})]
    if SUMS in files:
        found += _sums_faults(files[SUMS], sums_text(listed | unlisted))
    found += signature_faults(
        manifest.signer, files.get(SIGNATURE), files[MANIFEST], wanted.public_key, wanted.unverified_signature
    )

    intact = set()
    for path, fact in manifest.files.items():
        if path not in files:
            found.append(f"{path} is missing")
        elif len(files[path]) != fact.size:
            found.append(f"{path} has {len(files[path])} bytes, the manifest says {fact.size}")
        elif digest(files[path]) != fact.sha256:
            found.append(f"{path} has SHA-256 {digest(files[path])}, the manifest says {fact.sha256}")
        else:
            intact.add(path)

    embeddings = None
    if EMBEDDINGS in intact:
        try:
            embeddings = _read_embeddings(files[EMBEDDINGS], manifest)
        except ValueError as error:
            found.append(f"{EMBEDDINGS}: {error}")
    for sample in manifest.accepted:
        if sample.image is not None and sample.image in intact:
            found += [f"{sample.image}: {fault}" for fault in _image_faults(files[sample.image], sample)]

    own = manifest.recogniser
    if recogniser_sha256 is not None and recogniser_sha256 != own.sha256:
        found.append(
            f"the embeddings are of recogniser {own.name} (SHA-256 {own.sha256}), yours has SHA-256 {recogniser_sha256}"
        )
    if found or embeddings is None:
        raise BundleError(found)
    return embeddings, manifest


def _sums_faults(data: bytes, expected: bytes) -> list[str]:
    if data == expected:
        return []
    lines, wanted = data.decode("utf-8", "replace").splitlines(), expected.decode().splitlines()
    faults = [f"{SUMS} lacks the line {line!r}" for line in wanted if line not in lines]
    faults += [f"{SUMS} has the unexpected line {line!r}" for line in lines if line not in wanted]
    return faults or [f"{SUMS} is malformed: the right lines, but not sorted, once each, with plain line ends"]


def _read_embeddings(data: bytes, manifest: Manifest) -> np.ndarray:
    rows, recogniser = len(manifest.accepted), manifest.recogniser
    header = tensor_header(rows, recogniser.dim, manifest.tensor_facts())
    # The header is a function of the manifest, so a foreign one is compared, never interpreted.
    if not data.startswith(header):
        raise ValueError(f"header is {data[8:400]!r}, the manifest implies {header[8:]!r}")
    if len(data) != len(header) + rows * recogniser.dim * 4:
        raise ValueError(f"{len(data) - len(header)} bytes of vectors, expected {rows} x {recogniser.dim} float32")
    embeddings = np.frombuffer(data, "<f4", offset=len(header)).reshape(rows, recogniser.dim).astype(np.float32)
    check_vectors(embeddings, recogniser.metric)
    return embeddings


def check_vectors(embeddings: np.ndarray, metric: str) -> None:
    """ValueError naming the rows of (N, D) float32 whose norm the metric does not allow: 1 +- 2e-4 for cosine,
    finite and above 0 for euclidean."""
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    good = np.abs(norms - 1) <= NORM_TOLERANCE if metric == "cosine" else np.isfinite(norms) & (norms > 0)
    if not good.all():
        wanted = f"1 +- {NORM_TOLERANCE}" if metric == "cosine" else "finite and above 0"
        bad = {int(row): float(norms[row]) for row in np.flatnonzero(~good)}
        raise ValueError(f"norms by row are {bad}, expected {wanted} for metric {metric!r}")


def _image_faults(data: bytes, sample: SampleRecord) -> list[str]:
    try:
        _, mark = decode_png(data)
    except ValueError as error:
        return [str(error)]
    if not sample.synthetic:
        return [] if mark is None else ["a captured image is marked as synthetic"]
    if mark is None:
        return ["a synthetic image without its mark"]
    wanted = {
        "digital_source_type": SOURCE_TYPES[sample.origin],
        "origin": sample.origin,
        "parent_sha256": sample.parent_sha256,
    }
    told = {key: mark.get(key) for key in wanted}
    return [f"mark says {key} {told[key]!r}, expected {wanted[key]!r}" for key in wanted if told[key] != wanted[key]]
