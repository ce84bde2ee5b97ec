"""Measure the similarity band of a face pack's own recogniser on true photos and write it for `sdaug.bands`.

    python scripts/similarity_bands.py --faces DIR --pack PACK --out src/sdaug/bands/NAME.json

Needs `london/` (NNN_neutral.jpg, NNN_smiling.jpg: mated and non-mated frontal pairs) and `head3d/` (one head at exactly
known pose) in DIR. No generated image goes in: a band says what true photos score, so that a generator cannot move it.
The width SPREADS was chosen on the London people of odd number; see docs/gate.md.
"""

import argparse
import datetime
import itertools
import json
import subprocess
from pathlib import Path

import numpy as np

from sdaug.bands import SCHEMA
from sdaug.evaluation.metrics import threshold_at_fmr
from sdaug.evaluation.truth.head3d import read_views
from sdaug.face.photo import read_photo
from sdaug.packs import FacePack, load_pack
from sdaug.types import Pose

SPREADS = 3.0
"""Standard deviations, of the similarity between two frontal photos of one person, by which the band is wider than what
one head scores."""

COPY_PERCENTILE = 95
"""Share of pairs of different photos of one person that are less alike than what counts as a copy."""

FLOOR_FMR = 1e-2
"""The lower bound never falls below the threshold of this false match rate between frontal strangers."""

KNOWN_DEG = 30
"""Up to here the lower bound follows the head. Beyond, people's true photos spread far wider than frontal ones, and no
set that may be calibrated on says how wide: there the floor alone tells a person from others."""

TURNS = {"yaw": (15, 30, 45, 60), "pitch": (15, 30)}


def embed(pack: FacePack, image: np.ndarray) -> np.ndarray:
    """The vector of the largest face; raises ValueError where there is none."""
    face = pack.largest(image)
    if face is None:
        raise ValueError("no face found in a photo of the measured sets")
    return pack.recognisers[0].embed(image, face)


def london(folder: Path, pack: FacePack) -> tuple[np.ndarray, np.ndarray]:
    """Mated (neutral to smiling) and non-mated (neutral to neutral) similarities."""
    score = pack.recognisers[0].similarity
    neutral = {p.name[:3]: embed(pack, read_photo(p).pixels) for p in sorted(folder.glob("*_neutral.jpg"))}
    smiling = {p.name[:3]: embed(pack, read_photo(p).pixels) for p in sorted(folder.glob("*_smiling.jpg"))}
    mated = [score(neutral[who], vector) for who, vector in smiling.items() if who in neutral]
    return np.array(mated), np.array([score(a, b) for a, b in itertools.combinations(neutral.values(), 2)])


def head(folder: Path, pack: FacePack) -> dict[str, dict[int, list[float]]]:
    """Similarity of the frontal view to each view turned about one axis, by axis and |degrees|, both directions."""
    score = pack.recognisers[0].similarity
    views = {
        pose: embed(pack, photo.pixels)
        for pose, photo in read_views(folder).items()
        if 0 in (pose.yaw_deg, pose.pitch_deg)
    }
    frontal = views[Pose(0, 0)]
    return {
        "yaw": {a: [score(frontal, views[Pose(s * a, 0)]) for s in (1, -1)] for a in TURNS["yaw"]},
        "pitch": {a: [score(frontal, views[Pose(0, s * a)]) for s in (1, -1)] for a in TURNS["pitch"]},
    }


def rows(true: dict[int, list[float]], mated: np.ndarray, floor: float) -> list[dict[str, float | list[float]]]:
    """The band by degrees turned: never rising, never below the floor; above it a copy of the photo itself is 1."""
    low, high = max(float(mated.mean() - SPREADS * mated.std(ddof=1)), floor), 1.01
    table: list[dict[str, float | list[float]]] = [{"turned_deg": 0, "low": low, "high": high, "true": []}]
    for angle, scores in true.items():
        low = floor if angle > KNOWN_DEG else max(min(low, min(scores) - SPREADS * mated.std(ddof=1)), floor)
        high = min(high, max(scores) + SPREADS * mated.std(ddof=1))
        table.append({"turned_deg": angle, "low": low, "high": high, "true": scores})
    return [{k: [round(x, 4) for x in v] if isinstance(v, list) else round(v, 4) for k, v in r.items()} for r in table]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--pack", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pack = load_pack(args.pack)
    own = pack.recognisers[0]
    mated, non_mated = london(args.faces / "london", pack)
    floor = threshold_at_fmr(non_mated, FLOOR_FMR)
    true = head(args.faces / "head3d", pack)
    content = {
        "schema": SCHEMA,
        "recogniser": {"name": own.name, "sha256": own.sha256, "metric": own.metric, "dim": own.dim},
        "near_duplicate": round(float(np.percentile(mated, COPY_PERCENTILE)), 4),
        "same_person": round(float((non_mated.max() + mated.min()) / 2), 4),
        "floor": round(floor, 4),
        "yaw": rows(true["yaw"], mated, floor),
        "pitch": rows(true["pitch"], mated, floor),
        "provenance": {
            "command": f"python scripts/similarity_bands.py --faces FACES --pack PACK --out {args.out.name}",
            "date": datetime.date.today().isoformat(),
            "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
            "detector": pack.facts["detector"],
            "spreads": SPREADS,
            "floor_fmr": FLOOR_FMR,
            "sets": {
                "london": {
                    "what": "Face Research Lab London Set (DeBruine & Jones 2017, 10.6084/m9.figshare.5047666)",
                    "licence": "CC BY 4.0",
                    "mated": summary(mated),
                    "non_mated": summary(non_mated),
                },
                "head3d": {
                    "what": "renders of one 3-D head scan (Lee Perry-Smith, Infinite-Realities)",
                    "licence": "CC BY 3.0",
                    "n": sum(len(scores) for axis in true.values() for scores in axis.values()),
                },
            },
        },
    }
    args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def summary(scores: np.ndarray) -> dict[str, float | int]:
    """n, mean, standard deviation and range."""
    figures = {"mean": scores.mean(), "sd": scores.std(ddof=1), "min": scores.min(), "max": scores.max()}
    return {"n": len(scores)} | {name: round(float(value), 4) for name, value in figures.items()}


if __name__ == "__main__":
    main()
