"""What `notebooks/truth.ipynb` shows: the report with the pictures behind it, also where there is no true view."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sdaug.evaluation.truth.head3d import read_views
from sdaug.evaluation.truth.people import people_summary, turned
from sdaug.evaluation.truth.report import FRONTAL, report_views, see
from sdaug.face.photo import read_photo
from sdaug.packs import FacePack
from sdaug.photos import BUNDLED, photo_path
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES, PhotoError, Pose, Reason

HEAD_SHARE = 2.1
"""Side of a picture of the head, in sides of the face's box."""


@dataclass(frozen=True)
class TruthPage:
    """report: of `evaluate truth`, or None where no exactly known views were given. rows: one a view, with what was
    measured. generated, truth: pictures of the head alone, (S, S, 3) uint8 RGB by pose; `truth` is empty without known
    views. people: the figures of people turned to the ten angles, or None."""

    report: Mapping[str, Any] | None
    rows: list[dict[str, Any]]
    generated: Mapping[Pose, np.ndarray]
    truth: Mapping[Pose, np.ndarray]
    people: Mapping[str, Any] | None


def open_page(head3d: str, pack: FacePack, limit: int | None = None) -> TruthPage:
    """The page of a folder of known views, or of the built-in photo where `head3d` is empty.

    limit: about so many of the views, spread evenly over them. Raises FileNotFoundError for a folder without views.
    """
    if not head3d:
        return _without_truth(pack)
    views = read_views(Path(head3d))
    if limit is not None:
        others = [pose for pose in views if pose != FRONTAL]
        kept = others[:: max(1, len(others) // limit)]
        views = {FRONTAL: views[FRONTAL]} | {pose: views[pose] for pose in kept}
    report = report_views(views, pack)
    frontal = views[FRONTAL]
    face = pack.largest(frontal.pixels)
    assert face is not None, "report_views has refused a frontal view without a face"
    stage = set_stage(frontal, face, pack.mesh)
    generated = {pose: head_alone(turn(stage, pose).image, pack) for pose in views}
    truth = {pose: head_alone(photo.pixels, pack) for pose, photo in views.items()}
    return TruthPage(report, report["views"], generated, truth, None)


def _without_truth(pack: FacePack) -> TruthPage:
    photo = read_photo(photo_path(BUNDLED))
    source = see(photo.pixels, pack)
    if source.face is None:
        raise PhotoError(Reason.NO_FACE, f"no face in {BUNDLED}")
    stage = set_stage(photo, source.face, pack.mesh)
    rows = turned(photo, source, pack)
    for pose, row in zip(ANGLES, rows, strict=True):
        row |= {"yaw_deg": pose.yaw_deg, "pitch_deg": pose.pitch_deg}
    people = people_summary([rows], [r.name for r in pack.recognisers])
    return TruthPage(None, rows, {pose: head_alone(turn(stage, pose).image, pack) for pose in ANGLES}, {}, people)


def head_alone(image: np.ndarray, pack: FacePack, side: int = 160) -> np.ndarray:
    """The square around the largest face, (side, side, 3) uint8, so that pictures framed differently can be compared;
    the whole image without a face."""
    face = pack.largest(image)
    if face is None:
        return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    x0, y0, x1, y1 = face.box
    scale = side / (HEAD_SHARE * float(np.sqrt(face.area)))
    place = np.array([[scale, 0, side / 2 - scale * (x0 + x1) / 2], [0, scale, side / 2 - scale * (y0 + y1) / 2]])
    return cv2.warpAffine(image, place, (side, side), flags=cv2.INTER_AREA, borderValue=(255, 255, 255))
