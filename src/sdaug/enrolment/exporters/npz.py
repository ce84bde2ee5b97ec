"""numpy's own archive, without pickle."""

import io
from typing import ClassVar

import numpy as np

from sdaug.enrolment.archive import zipped
from sdaug.enrolment.exporters import AbstractExporter
from sdaug.enrolment.opened import Bundle


class Npz(AbstractExporter):
    """One `.npz` file for `numpy.load(path, allow_pickle=False)`.

    `embeddings` (N, D) float32; `row` int64, `role`, `origin` text and `synthetic` bool, (N,) each; `mean` (D,)
    float32; single values `manifest_sha256`, `subject`, `recogniser`, `recogniser_sha256`, `metric`.
    """

    target: ClassVar[str] = "numpy"

    def content(self, bundle: Bundle) -> bytes:
        facts, rows = bundle.facts(), bundle.rows()
        arrays = {
            "embeddings": bundle.embeddings,
            "mean": mean_template(bundle.embeddings, facts["metric"]),
            "row": np.array([row["row"] for row in rows], np.int64),
            **{name: np.array([row[name] for row in rows]) for name in ("role", "origin", "synthetic")},
            **{
                name: np.array(facts[name])
                for name in ("manifest_sha256", "subject", "recogniser", "recogniser_sha256", "metric")
            },
        }
        return zipped({f"{name}.npy": _npy(array) for name, array in arrays.items()})


def mean_template(embeddings: np.ndarray, metric: str) -> np.ndarray:
    """The mean (D,) of (N, D) float32 vectors; of unit norm for `cosine`, unless they cancel out.

    >>> mean_template(np.eye(2, dtype=np.float32), "cosine").round(3).tolist()
    [0.7070000171661377, 0.7070000171661377]
    """
    mean = embeddings.astype(np.float64).mean(axis=0)
    norm = float(np.linalg.norm(mean)) if metric == "cosine" else 1.0
    return (mean / (norm or 1.0)).astype(np.float32)


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False)
    return out.getvalue()
