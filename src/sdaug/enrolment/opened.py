"""A verified bundle as exporters see it: vectors, what is known of each, and their images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.enrolment.layout import IMAGES, MANIFEST, digest
from sdaug.enrolment.manifest import Manifest
from sdaug.enrolment.sample import SampleRecord
from sdaug.enrolment.store import read_bundle
from sdaug.enrolment.verify import Expected, check_files


@dataclass(frozen=True)
class Bundle:
    """One person's templates, after verification.

    manifest_sha256: of `manifest.json`, which names this bundle wherever its vectors go. samples: the accepted ones, in
    the order of `embeddings` (N, D) float32. images: PNG bytes by path in the bundle; empty where none are kept.
    """

    manifest: Manifest
    manifest_sha256: str
    samples: tuple[SampleRecord, ...]
    embeddings: np.ndarray
    images: Mapping[str, bytes]

    def captured(self) -> "Bundle":
        """The same without whatever was made from a photo."""
        rows = [at for at, sample in enumerate(self.samples) if sample.origin == "captured"]
        return replace(
            self, samples=tuple(self.samples[at] for at in rows), embeddings=np.ascontiguousarray(self.embeddings[rows])
        )

    def facts(self) -> dict[str, Any]:
        """Whose vectors these are, JSON-able: what every export says of its origin."""
        recogniser = self.manifest.recogniser
        return {
            "manifest_sha256": self.manifest_sha256,
            "subject": self.manifest.subject,
            "recogniser": recogniser.name,
            "recogniser_sha256": recogniser.sha256,
            "dim": recogniser.dim,
            "metric": recogniser.metric,
            "retention_until": self.manifest.retention_until,
        }

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each vector, JSON-able, in order."""
        return [{"row": s.row, "role": s.role, "origin": s.origin, "synthetic": s.synthetic} for s in self.samples]


def open_bundle(path: Path, expected: Expected | None = None) -> Bundle:
    """The bundle at `path` (folder, zip or encrypted file), verified. BundleError with every fault found."""
    files, faults = read_bundle(path, None if expected is None else expected.key)
    embeddings, manifest = check_files(files, faults=faults, expected=expected)
    images = {name: data for name, data in files.items() if name.startswith(f"{IMAGES}/")}
    return Bundle(manifest, digest(files[MANIFEST]), manifest.accepted, embeddings, images)
