"""Is a generated view right? Compared with the true view of the same head at the same, exactly known pose."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from sdaug.evaluation.head3d import read_views
from sdaug.gate import area, pose_error_deg
from sdaug.packs import FacePack
from sdaug.recognition import AbstractRecogniser
from sdaug.synthesis.warp import set_stage, turn
from sdaug.types import Face, Photo, PhotoError, Pose, Reason

UNREADABLE_DEG = 90.0
"""Pose error of a view whose pose cannot be read."""

BINS: dict[str, Callable[[Pose], bool]] = {
    "all": lambda pose: True,
    "yaw_le_30": lambda pose: abs(pose.yaw_deg) <= 30,
    "yaw_45": lambda pose: abs(pose.yaw_deg) == 45,
    "pitch_30": lambda pose: abs(pose.pitch_deg) == 30,
}
"""The poses of each summary figure, over all values of the other axis."""


def largest_face(pack: FacePack, image: np.ndarray) -> Face | None:
    """The largest face in `image` (H, W, 3) uint8 RGB, None if there is none."""
    return max(pack.faces(image), key=area, default=None)


def makers(photo: Photo, face: Face, pack: FacePack) -> dict[str, Callable[[Pose], np.ndarray]]:
    """What makes a view of a pose: the warp, and three baselines that do not turn the head."""
    stage = set_stage(photo, face, pack.mesh)
    pixels = photo.pixels
    height, width = pixels.shape[:2]

    def rotated(pose: Pose) -> np.ndarray:
        place = cv2.getRotationMatrix2D((width / 2, height / 2), -pose.yaw_deg / 3, 1.0)
        return cv2.warpAffine(pixels, place, (width, height), borderMode=cv2.BORDER_REPLICATE)

    return {
        "generated": lambda pose: turn(stage, pose).image,
        "input": lambda pose: pixels,
        "mirrored": lambda pose: np.ascontiguousarray(pixels[:, ::-1]),
        "in_plane": rotated,
    }


def compare_views(views: Mapping[Pose, Photo], pack: FacePack) -> list[dict[str, Any]]:
    """Every turned view made from the frontal one and compared with the truth; one row a view.

    A view in which no face is found scores 0 and its pose error is 90 degrees. PhotoError without a frontal face.
    """
    frontal = views[Pose(0, 0)]
    face = largest_face(pack, frontal.pixels)
    if face is None:
        raise PhotoError(Reason.NO_FACE, "no face in the frontal view")
    make = makers(frontal, face, pack)
    reference = {r.name: r.embed(frontal.pixels, face) for r in pack.recognisers}
    return [_row(pose, truth, make, reference, pack) for pose, truth in views.items() if pose != Pose(0, 0)]


def _row(
    pose: Pose,
    truth: Photo,
    make: Mapping[str, Callable[[Pose], np.ndarray]],
    reference: Mapping[str, np.ndarray],
    pack: FacePack,
) -> dict[str, Any]:
    true_face = largest_face(pack, truth.pixels)
    row: dict[str, Any] = {
        "yaw_deg": pose.yaw_deg,
        "pitch_deg": pose.pitch_deg,
        "true_face_found": true_face is not None,
    }
    for name, maker in make.items():
        image = maker(pose)
        face = largest_face(pack, image)
        for recogniser in pack.recognisers:
            scores = _scores(recogniser, image, face, truth.pixels, true_face, reference[recogniser.name])
            row[f"{name}_to_true.{recogniser.name}"], row[f"{name}_to_input.{recogniser.name}"] = scores
        if name == "generated":
            found = None if face is None else face.pose
            row["pose_error_deg"] = UNREADABLE_DEG if found is None else pose_error_deg(found, pose)
    return row


def _scores(
    recogniser: AbstractRecogniser,
    image: np.ndarray,
    face: Face | None,
    truth: np.ndarray,
    true_face: Face | None,
    reference: np.ndarray,
) -> tuple[float, float]:
    """Similarity of `image` to the true view and to the input; 0 where a face is missing."""
    if face is None:
        return 0.0, 0.0
    vector = recogniser.embed(image, face)
    to_true = 0.0 if true_face is None else recogniser.similarity(vector, recogniser.embed(truth, true_face))
    return to_true, recogniser.similarity(vector, reference)


def summary(rows: Sequence[Mapping[str, Any]], recogniser: str) -> dict[str, dict[str, float | int | None]]:
    """Mean similarities per bin of poses; a bin without views has null figures."""
    figures: dict[str, dict[str, float | int | None]] = {}
    for name, belongs in BINS.items():
        chosen = [row for row in rows if belongs(Pose(row["yaw_deg"], row["pitch_deg"]))]
        figures[name] = {"n": len(chosen)}
        for key in ("generated_to_true", "input_to_true", "generated_to_input", "mirrored_to_true", "in_plane_to_true"):
            values = [row[f"{key}.{recogniser}"] for row in chosen]
            figures[name][key] = float(np.mean(values)) if values else None
    return figures


def evaluate_truth(folder: str, pack: FacePack) -> dict[str, Any]:
    """The whole report of `sdaug evaluate truth`, JSON-able."""
    from pathlib import Path

    rows = compare_views(read_views(Path(folder)), pack)
    errors = [row["pose_error_deg"] for row in rows]
    own = pack.recognisers[0].name
    return {
        "schema": "sdaug.truth/1",
        "pack": pack.facts,
        "recogniser": own,
        "summary": summary(rows, own),
        "summary_by_recogniser": {r.name: summary(rows, r.name) for r in pack.recognisers},
        "pose_error_deg": {"median": float(np.median(errors)), "p95": float(np.percentile(errors, 95))},
        "views": rows,
    }
