"""Is a generated view right? Compared with the true view of the same head at the same, exactly known pose."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.config import GateSettings
from sdaug.evaluation.second_pose import second_kind, second_pose
from sdaug.evaluation.truth.baselines import baselines
from sdaug.evaluation.truth.head3d import read_views
from sdaug.evaluation.truth.summary import pose_errors, summary
from sdaug.face.pose import calibration
from sdaug.gate import Gate, open_gate, pose_error_deg
from sdaug.packs import FacePack
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import Face, Photo, PhotoError, Pose, Reason

UNREADABLE_DEG = 90.0
"""Pose error of a view whose pose cannot be read."""

FRONTAL = Pose(0, 0)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Seen:
    """One image as the pack sees it: its largest face, None without one; its vectors by recogniser name, each once."""

    face: Face | None
    vectors: Mapping[str, np.ndarray]
    second: Pose | None

    @property
    def pose(self) -> Pose | None:
        return None if self.face is None else self.face.pose

    def second_error_deg(self, true: Pose) -> float | None:
        """Of the second reading; None where it is the first already (`sdaug.face.reading`) and so judges nothing."""
        shared = self.pose is not None and self.pose == self.second
        return None if shared else error_deg(self.second, true)


def see(image: np.ndarray, pack: FacePack) -> Seen:
    """What `pack` sees in `image` (H, W, 3) uint8 RGB."""
    face = pack.largest(image)
    vectors = {} if face is None else {r.name: r.embed(image, face) for r in pack.recognisers}
    return Seen(face, vectors, second_pose(image, face, pack))


def similarities(a: Seen, b: Seen, pack: FacePack) -> dict[str, float]:
    """Similarity by recogniser name; 0 where one of the two has no face."""
    if a.face is None or b.face is None:
        return {r.name: 0.0 for r in pack.recognisers}
    return {r.name: r.similarity(a.vectors[r.name], b.vectors[r.name]) for r in pack.recognisers}


def error_deg(found: Pose | None, wanted: Pose) -> float:
    """The larger of yaw and pitch error; UNREADABLE_DEG without a reading."""
    return UNREADABLE_DEG if found is None else pose_error_deg(found, wanted)


def angles(pose: Pose | None) -> dict[str, float] | None:
    """A reading for the report, JSON-able."""
    return None if pose is None else {"yaw_deg": pose.yaw_deg, "pitch_deg": pose.pitch_deg}


def generated_row(image: np.ndarray, pose: Pose, gate: Gate) -> tuple[Seen, dict[str, Any]]:
    """A view as the gate sees it, and what is reported of it alone: both poses, their errors, accepted or why not."""
    sight = gate.look(image)
    verdict = gate.decide(sight, pose)
    face = None if sight is None else sight.face
    seen = Seen(face, {} if sight is None else sight.vectors, second_pose(image, face, gate.pack))
    return seen, {
        "face_found": face is not None,
        "accepted": verdict.accepted,
        "reasons": [reason.value for reason in verdict.reasons],
        "measured": angles(seen.pose),
        "measured_second": angles(seen.second),
        "pose_error_deg": error_deg(seen.pose, pose),
        "pose_error_second_deg": seen.second_error_deg(pose),
    }


def compare_views(
    views: Mapping[Pose, Photo], pack: FacePack, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Every turned view made from the frontal one and compared with the truth; one row a view.

    A view in which no face is found scores 0 and its pose error is 90 degrees. PhotoError without a frontal face.
    """
    frontal = views[FRONTAL]
    source = see(frontal.pixels, pack)
    if source.face is None:
        raise PhotoError(Reason.NO_FACE, "no face in the frontal view")
    gate = open_gate(pack, GateSettings(), frontal.pixels, source.face)
    stage = set_stage(frontal, source.face, pack.mesh)
    others = baselines(frontal.pixels)
    unmoved = {"input": source, "mirrored": see(others["mirrored"](FRONTAL), pack)}
    turned = {pose: photo for pose, photo in views.items() if pose != FRONTAL}
    rows = []
    for number, (pose, photo) in enumerate(turned.items(), start=1):
        truth = see(photo.pixels, pack)
        generated, facts = generated_row(turn(stage, pose).image, pose, gate)
        made = {"generated": generated, **unmoved, "in_plane": see(others["in_plane"](pose), pack)}
        row = {"yaw_deg": pose.yaw_deg, "pitch_deg": pose.pitch_deg, "true_face_found": truth.face is not None} | facts
        row["true_pose_error_deg"] = error_deg(truth.pose, pose)
        row["true_pose_error_second_deg"] = truth.second_error_deg(pose)
        scores = {f"{name}_to_true": similarities(seen, truth, pack) for name, seen in made.items()}
        scores |= {f"{name}_to_input": similarities(made[name], source, pack) for name in ("generated", "mirrored")}
        scores["true_to_input"] = similarities(truth, source, pack)
        row |= {f"{key}.{name}": value for key, found in scores.items() for name, value in found.items()}
        rows.append(row)
        if progress is not None:
            progress(number, len(turned))
    return rows


def evaluate_truth(folder: str | Path, pack: FacePack, progress: Progress | None = None) -> dict[str, Any]:
    """The whole report of `sdaug evaluate truth`, JSON-able; raises FileNotFoundError without views, PhotoError."""
    return report_views(read_views(Path(folder)), pack, progress)


def report_views(views: Mapping[Pose, Photo], pack: FacePack, progress: Progress | None = None) -> dict[str, Any]:
    """The same of views that were read already."""
    rows = compare_views(views, pack, progress)
    own = pack.recognisers[0].name
    held_out = [r.name for r in pack.recognisers[1:]]
    return {
        "schema": "sdaug.truth/1",
        "pack": pack.facts,
        "recogniser": own,
        "held_out": held_out or None,
        "summary": summary(rows, own),
        "summary_by_recogniser": {r.name: summary(rows, r.name) for r in pack.recognisers},
        **pose_errors(rows),
        "estimators": estimators(pack),
        "views": rows,
    }


def estimators(pack: FacePack) -> dict[str, Any]:
    """Which pose estimators measured, and how far each was off on views that it was not calibrated with."""
    return {
        name: {"reads": kind, "error_deg_view_left_out": calibration()[kind]["error_deg_view_left_out"]}
        for name, kind in (("first", "landmarks"), ("second", second_kind(pack)))
    }
