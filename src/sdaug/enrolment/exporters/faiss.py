"""A FAISS index of inner products, and whose its rows are."""

import struct
from typing import ClassVar

import numpy as np

from sdaug.enrolment.exporters import AbstractExporter
from sdaug.enrolment.layout import canonical_json
from sdaug.enrolment.opened import Bundle


class Faiss(AbstractExporter):
    """A folder: `index.faiss` for `faiss.read_index` (an IndexFlatIP) and `ids.json`, whose `rows[i]` is the index's i.

    Inner products rank as cosines do for unit vectors only, so other vectors are refused.
    """

    target: ClassVar[str] = "FAISS IndexFlatIP"
    metrics: ClassVar[tuple[str, ...]] = ("cosine",)

    def content(self, bundle: Bundle) -> dict[str, bytes]:
        ids = {"schema": "sdaug.faiss-ids/1", **bundle.facts(), "rows": bundle.rows()}
        return {"index.faiss": flat_ip_bytes(bundle.embeddings), "ids.json": canonical_json(ids)}


def flat_ip_bytes(vectors: np.ndarray) -> bytes:
    """What `faiss.write_index` writes for an IndexFlatIP of (N, D) float32 vectors.

    Written here so that exporting needs no FAISS; `tests/unit/test_export.py` compares with the library. After the four
    letters: dimension, count, two unused numbers, trained, metric 0 (inner product), count of floats, floats.
    """
    count, dim = vectors.shape
    head = struct.pack("<4siqqq?iQ", b"IxFI", dim, count, 1 << 20, 1 << 20, True, 0, count * dim)
    return head + np.ascontiguousarray(vectors, "<f4").tobytes()
