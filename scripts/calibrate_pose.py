"""Calibrates every pose reading on renders of a head at known pose and writes `face/data/pose_calibration.json`.

    python scripts/calibrate_pose.py HEAD3D_FOLDER --pack INSIGHTFACE_FOLDER

The errors it writes are of views it did not use: each view, its mirror image and the view of the mirrored pose are read
with coefficients fitted without them. It reads each view and its mirror image, so yaw has no preferred side.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from sdaug.evaluation.second_pose import eye_corners
from sdaug.evaluation.truth.head3d import read_views
from sdaug.face.pnp import raw_point_pose
from sdaug.face.pose import features, raw_pose
from sdaug.packs import load_pack
from sdaug.types import Pose

OUT = Path(__file__).parent.parent / "src/sdaug/face/data/pose_calibration.json"
MAX_YAW, MAX_PITCH = 45, 30
SOURCE = (
    "{n} renders of one 3-D head scan (Lee Perry-Smith scan, Infinite-Realities, CC BY 3.0) and their mirror images"
)
TERMS = {"landmarks": (2, 4), "five_points": (2, 4), "eye_corners": (1, 2)}
"""How many terms of `features` are fitted for yaw and pitch; dlib's corners are too noisy for more than lines."""

Readings = dict[str, list[tuple[Pose, Pose]]]


def read(folder: Path, pack_name: str) -> Readings:
    """Per kind of reading (true pose, raw pose) of every view and its mirror image; no face, no reading."""
    packs = load_pack("embedded"), load_pack(pack_name)
    readings: Readings = {kind: [] for kind in TERMS}
    for pose, photo in read_views(folder).items():
        if abs(pose.yaw_deg) > MAX_YAW or abs(pose.pitch_deg) > MAX_PITCH:
            continue
        for true, image in (
            (pose, photo.pixels),
            (Pose(-pose.yaw_deg, pose.pitch_deg), np.ascontiguousarray(photo.pixels[:, ::-1])),
        ):
            own, other = (pack.largest(image) for pack in packs)
            if own is not None and own.landmarks is not None:
                readings["landmarks"].append((true, raw_pose(own.landmarks)))
                readings["eye_corners"].append((true, raw_point_pose(eye_corners(image, own.box), "eye_corners")))
            if other is not None:
                readings["five_points"].append((true, raw_point_pose(other.five_points, "five_points")))
    return readings


def fitted(pairs: list[tuple[Pose, Pose]], terms: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares coefficients (2,) for yaw and (4,) for pitch; terms that are not fitted are 0."""
    found = []
    for axis, size, name in ((0, terms[0], "yaw_deg"), (1, terms[1], "pitch_deg")):
        rows = np.array([features(raw.yaw_deg, raw.pitch_deg)[axis] for _, raw in pairs])
        wanted = np.array([getattr(true, name) for true, _ in pairs])
        solved = np.linalg.lstsq(rows[:, :size], wanted, rcond=None)[0]
        found.append(np.concatenate([solved, np.zeros(rows.shape[1] - size)]))
    return found[0], found[1]


def left_out(pairs: list[tuple[Pose, Pose]], terms: tuple[int, int], whole_column: bool) -> dict[str, dict[str, float]]:
    """Errors in degrees of views read without them; `whole_column` leaves out all views of the same |yaw| at once."""

    def alike(a: Pose, b: Pose) -> bool:
        return abs(a.yaw_deg) == abs(b.yaw_deg) and (whole_column or a.pitch_deg == b.pitch_deg)

    errors = []
    for true, raw in pairs:
        coefficients = fitted([p for p in pairs if not alike(p[0], true)], terms)
        read = [float(np.dot(c, f)) for c, f in zip(coefficients, features(raw.yaw_deg, raw.pitch_deg), strict=True)]
        errors.append((abs(read[0] - true.yaw_deg), abs(read[1] - true.pitch_deg)))
    values = np.array(errors)
    return {
        axis: {
            "mean": round(float(values[:, i].mean()), 2),
            "median": round(float(np.median(values[:, i])), 2),
            "max": round(float(values[:, i].max()), 2),
        }
        for i, axis in enumerate(("yaw", "pitch"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head3d", type=Path)
    parser.add_argument("--pack", required=True, help="an insightface folder with SCRFD")
    arguments = parser.parse_args()
    report = {}
    for kind, pairs in read(arguments.head3d, arguments.pack).items():
        terms = TERMS[kind]
        yaw, pitch = fitted(pairs, terms)
        report[kind] = {
            "source": SOURCE.format(n=len(pairs) // 2) + f", |yaw| <= {MAX_YAW}, |pitch| <= {MAX_PITCH}",
            "readings": len(pairs),
            "error_deg_view_left_out": left_out(pairs, terms, whole_column=False),
            "error_deg_yaw_column_left_out": left_out(pairs, terms, whole_column=True),
            "coefficients": {"yaw": yaw.round(5).tolist(), "pitch": pitch.round(5).tolist()},
        }
    OUT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
