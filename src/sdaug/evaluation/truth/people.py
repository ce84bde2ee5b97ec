"""Real people turned: without true views, what is known is likeness to the input, both poses, the gate's verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdaug.config import GateSettings
from sdaug.evaluation.truth.report import Progress, Seen, generated_row, see, similarities
from sdaug.evaluation.truth.summary import MISSION_SIMILARITY, mean, spread
from sdaug.face.photo import read_photo
from sdaug.gate import open_gate
from sdaug.packs import FacePack
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES, Photo

ENOUGH = 9
"""Of the ten angles, how many a person should get."""


def evaluate_people(
    folder: str | Path, pack: FacePack, pattern: str = "*", limit: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """The `people` part of the report: every photo in `folder` that matches `pattern`, turned to the ten angles.

    A photo without a readable face is listed under `refused_sources`. Raises FileNotFoundError without a photo.
    """
    paths = [p for p in sorted(Path(folder).glob(pattern)) if p.suffix.lower() in (".jpg", ".jpeg", ".png")][:limit]
    if not paths:
        raise FileNotFoundError(f"{folder} holds no .jpg or .png that matches {pattern!r}; expected photos of people")
    people, refused = [], []
    for number, path in enumerate(paths, start=1):
        photo = read_photo(path)
        source = see(photo.pixels, pack)
        if source.pose is None:
            refused.append(path.name)
        else:
            people.append(turned(photo, source, pack))
        if progress is not None:
            progress(number, len(paths))
    return people_summary(people, [r.name for r in pack.recognisers]) | {"refused_sources": refused}


def turned(photo: Photo, source: Seen, pack: FacePack) -> list[dict[str, Any]]:
    """One row an angle of one person; `source` must have landmarks."""
    assert source.face is not None
    gate = open_gate(pack, GateSettings(), photo.pixels, source.face)
    stage = set_stage(photo, source.face, pack.mesh)
    rows = []
    for pose in ANGLES:
        seen, row = generated_row(turn(stage, pose).image, pose, gate)
        row |= {f"generated_to_input.{name}": score for name, score in similarities(seen, source, pack).items()}
        rows.append(row)
    return rows


def people_summary(people: Sequence[Sequence[Mapping[str, Any]]], recognisers: Sequence[str]) -> dict[str, Any]:
    """Figures per angle and over all; `people` holds ten rows each, in the order of the angle list."""
    by_angle = [
        {"yaw_deg": pose.yaw_deg, "pitch_deg": pose.pitch_deg} | _figures([p[i] for p in people], recognisers)
        for i, pose in enumerate(ANGLES)
    ]
    counts = [sum(row["accepted"] for row in rows) for rows in people]
    return {
        "n": len(people),
        f"share_with_{ENOUGH}_of_{len(ANGLES)}_accepted": mean(count >= ENOUGH for count in counts),
        "all": _figures([row for rows in people for row in rows], recognisers),
        "angles": by_angle,
    }


def _figures(rows: Sequence[Mapping[str, Any]], recognisers: Sequence[str]) -> dict[str, Any]:
    reasons = [reason for row in rows for reason in row["reasons"]]
    return {
        "n": len(rows),
        "accepted": mean(row["accepted"] for row in rows),
        "reasons": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
        "generated_to_input": {name: mean(row[f"generated_to_input.{name}"] for row in rows) for name in recognisers},
        f"above_{MISSION_SIMILARITY}": {
            name: mean(row[f"generated_to_input.{name}"] > MISSION_SIMILARITY for row in rows) for name in recognisers
        },
        "pose_error_deg": spread([row["pose_error_deg"] for row in rows]),
        "pose_error_second_deg": spread([row["pose_error_second_deg"] for row in rows]),
    }
