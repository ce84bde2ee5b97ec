"""`sdaug bench warp`: a view after landmarks, beside scikit-image's piecewise affine warp and a plain copy."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from sdaug.bench.peer import facing_points, peer_view
from sdaug.measure.clock import Ratio, Times, milliseconds, paired_ratio
from sdaug.measure.environment import environment
from sdaug.packs import FacePack
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES, Photo, PhotoError, Pose, Reason

COPIES = 20
"""Copies timed together: one is too short for the clock."""

PEER_POSE = Pose(22, 0)

SIDES = (256, 512, 1024)
"""Sides of views whose cost is compared, pixels."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WarpBench:
    """Times in milliseconds. view: one `turn` of a staged photo. stage: what is done once a photo, the outline of the
    person included, landmarks not. ten_views: one stage and its ten turns. peer, copy: scikit-image's view, and a copy
    of a view's bytes. to_peer = peer / ours, to_memcpy = ours / copy. sides: a view of each of SIDES."""

    view: Times
    stage: Times
    ten_views: Times
    peer: Times
    copy: Times
    to_peer: Ratio
    to_memcpy: Ratio
    sides: tuple[Times, ...]
    triangles: int
    points: int

    def facts(self) -> dict[str, Any]:
        """The report of `sdaug bench warp`, JSON-able."""
        return {
            "schema": "sdaug.bench.warp/2",
            "view_ms": self.view.facts(),
            "ten_views_ms": self.ten_views.p50,
            "ratio_to_peer": self.to_peer.value,
            "ratio_to_memcpy": self.to_memcpy.value,
            "intervals": {"ratio_to_peer": asdict(self.to_peer), "ratio_to_memcpy": asdict(self.to_memcpy)},
            "stage_ms": self.stage.facts(),
            "ten_views": self.ten_views.facts(),
            "peer_view_ms": self.peer.facts(),
            "memcpy_ms": self.copy.facts(),
            "view_ms_by_side_px": {
                str(side): times.facts() | {"per_megapixel": times.p50 / (side * side / 1e6)}
                for side, times in zip(SIDES, self.sides, strict=True)
            },
            "facing_triangles": self.triangles,
            "peer_points": self.points,
            "opencv_threads": cv2.getNumThreads(),
            "environment": environment(),
        }


def bench_warp(
    photo: Photo, pack: FacePack, rounds: int = 30, peer_rounds: int = 3, progress: Progress | None = None
) -> WarpBench:
    """Times the largest face of `photo`; raises PhotoError where there is none.

    Each round turns to all ten angles, view by view, each followed by a copy; the peer's rounds are each followed by
    ours at the same pose.
    """
    face = pack.largest(photo.pixels)
    if face is None or face.pose is None:
        raise PhotoError(Reason.NO_FACE, "no face with landmarks in the photo; expected one to turn")

    stage = set_stage(photo, face, pack.mesh)
    image = turn(stage, PEER_POSE).image
    room = np.empty_like(image)

    def copy() -> float:
        return milliseconds(lambda: [np.copyto(room, image) for _ in range(COPIES)]) / COPIES

    copy()
    views, copies, stages, tens = [], [], [], []
    for number in range(1, rounds + 1):
        stages.append(milliseconds(lambda: set_stage(photo, face, pack.mesh)))
        turns = []
        for pose in ANGLES:
            turns.append(milliseconds(lambda pose=pose: turn(stage, pose)))
            copies.append(copy())
        views += turns
        tens.append(stages[-1] + sum(turns))
        if progress is not None:
            progress(number, rounds + peer_rounds)

    stages_by_side = [set_stage(photo, face, pack.mesh, side) for side in SIDES]
    by_side = [
        Times(tuple(milliseconds(lambda s=large, p=pose: turn(s, p)) for pose in ANGLES)) for large in stages_by_side
    ]
    draw = peer_view(stage, face.pose, PEER_POSE)
    peers, ours = [], []
    for number in range(1, peer_rounds + 1):
        peers.append(milliseconds(draw))
        ours.append(float(np.median([milliseconds(lambda: turn(stage, PEER_POSE)) for _ in range(5)])))
        if progress is not None:
            progress(rounds + number, rounds + peer_rounds)
    _, points, triangles = facing_points(stage, face.pose, PEER_POSE)
    return WarpBench(
        view=Times(tuple(views)),
        stage=Times(tuple(stages)),
        ten_views=Times(tuple(tens)),
        peer=Times(tuple(peers)),
        copy=Times(tuple(copies)),
        to_peer=paired_ratio(peers, ours),
        to_memcpy=paired_ratio(views, copies),
        sides=tuple(by_side),
        triangles=triangles,
        points=len(points),
    )
