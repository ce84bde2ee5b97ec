"""How alike true photos of one person are, by how far the head turned between them: one file a recogniser.

A view made at a pose has to look like a true photo at that pose: below the band it is somebody else or damage, above it
the head was not turned. Written by `scripts/similarity_bands.py`, which puts the origin of each figure into the file.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from sdaug.types import Pose

SCHEMA = "sdaug.band/1"

Row = tuple[float, float, float]
Rows = tuple[Row, ...]


@dataclass(frozen=True)
class Band:
    """Similarities on the recogniser's own scale.

    yaw, pitch: rows (degrees turned, low, high), rising from 0. near_duplicate: at and above it two images are one.
    same_person: at and above it two frontal photos show one person; between strangers none measured comes near.
    """

    yaw: Rows
    pitch: Rows
    near_duplicate: float
    same_person: float

    def at(self, turned: Pose) -> tuple[float, float]:
        """Lower and upper bound where the head turned by |yaw| and |pitch| of `turned` away from the reference.

        Linear between the rows, constant beyond the last. Below, what yaw and pitch each take off adds up, down to the
        lowest row at the least; above, only the larger loss counts: a head turned both ways need not lose both.

        >>> band = Band(((0, 0.6, 1.0), (45, 0.4, 0.8)), ((0, 0.6, 1.0), (30, 0.5, 0.8)), 0.98, 0.7)
        >>> [round(v, 3) for v in band.at(Pose(-22.5, 0))]
        [0.5, 0.9]
        >>> [round(v, 3) for v in band.at(Pose(22.5, 15))]
        [0.45, 0.9]
        """
        low = [_along(rows, abs(angle), 1) for angle, rows in self._axes(turned)]
        high = [_along(rows, abs(angle), 2) for angle, rows in self._axes(turned)]
        lowest = min(row[1] for row in (*self.yaw, *self.pitch))
        return max(sum(low) - self.pitch[0][1], lowest), min(high)

    def _axes(self, turned: Pose) -> tuple[tuple[float, Rows], tuple[float, Rows]]:
        return (turned.yaw_deg, self.yaw), (turned.pitch_deg, self.pitch)


def _along(rows: Rows, angle: float, column: int) -> float:
    return float(np.interp(angle, [row[0] for row in rows], [row[column] for row in rows]))


def find_band(recogniser_sha256: str) -> Band | None:
    """The band of the recogniser whose weight file has this digest, None where nobody measured one."""
    content = band_file(recogniser_sha256)
    if content is None:
        return None
    rows = {axis: tuple(_row(row) for row in content[axis]) for axis in ("yaw", "pitch")}
    return Band(rows["yaw"], rows["pitch"], content["near_duplicate"], content["same_person"])


def band_file(recogniser_sha256: str) -> dict[str, Any] | None:
    """The content of that band's file: its rows, and under `provenance` what they were measured on."""
    for path in sorted(files("sdaug.bands").iterdir(), key=lambda entry: entry.name):
        if path.name.endswith(".json"):
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["recogniser"]["sha256"] == recogniser_sha256:
                return content
    return None


def _row(row: dict[str, float]) -> Row:
    return row["turned_deg"], row["low"], row["high"]
