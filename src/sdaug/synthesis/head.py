"""A whole head around the face mesh: the person's landmarks in 3-D, in an average head bent and widened to theirs."""

from dataclasses import dataclass

import numpy as np

from sdaug.face.pose import MESH, raw_pose
from sdaug.face.rotation import rotation
from sdaug.synthesis.hair import find_outline, rim, widening
from sdaug.synthesis.raster import facing, triangle_index
from sdaug.synthesis.template import OVAL, below_jaw, bent, scaled, template
from sdaug.types import Pose

LEFT_SIDE, RIGHT_SIDE = 454, 234
"""Outline landmarks before the subject's left and right ear."""

CAMERA_DISTANCE = 7.0
"""Assumed distance from camera to head, in face widths: a portrait at about one metre."""

DEPTH_LINEAR, DEPTH_SQUARE, DEPTH_TILT = 1.2, 0.3, -0.09
"""Metric depth = LINEAR z + SQUARE z^2 + TILT y of MediaPipe's z and y, in face widths from the ears, head frame.

MediaPipe's noses stand out too far, cheeks fall back too little, its chins lie too far back: chosen on one 3-D head,
used unchanged for everybody; see docs/decisions/0002-depth.md."""

AVERAGE_SHARE = 0.5
"""How much of the depth is the average head's: two guesses that err independently, see docs/decisions/0005-head.md."""

RELIEF = 1.07
"""The mean of two guesses is flatter than either: depth is multiplied by this, see docs/decisions/0005-head.md."""

TUCKED = 0.08
"""The head's rim lies under the face by less than this, in face widths."""

NECK_LENGTH = 0.55
"""Over this length below the jaw, in face widths, turning fades from the head's to none."""


@dataclass(frozen=True)
class HeadModel:
    """A head in its own upright frontal frame, origin at the centre of rotation, unit: source pixels.

    vertices: (V, 3) float64, the first 468 are the landmarks. triangles: (T, 3) int32, projected area positive where
    the outer side faces the camera. follows: (V,) float64, how much of the head's turn a vertex makes: 1 on the head,
    falling to 0 down the neck. rim: (V, 2), for a vertex that hair covers, if anybody has any, the source pixel that
    looks most like it; NaN for the others. iris: (10, 3). centre: (3,) of the rotation in the source image. distance:
    camera to centre, pixels. width: of the face, pixels.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    follows: np.ndarray
    rim: np.ndarray
    iris: np.ndarray
    centre: np.ndarray
    distance: float
    width: float

    def posed(self, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """The vertices (V, 3) in camera space at `pose`, and their pixels (V, 2)."""
        turned = self.vertices @ rotation(pose).T
        posed = self.vertices + self.follows[:, None] * (turned - self.vertices)
        return posed, project(posed, self.distance) + self.centre[:2]


def unproject(points: np.ndarray, centre: np.ndarray, distance: float) -> np.ndarray:
    """Image points with relative depth (N, 3) to camera space about `centre` (N, 3), under a perspective camera."""
    depth = points[:, 2:] - centre[2]
    return np.concatenate([(points[:, :2] - centre[:2]) * (distance + depth) / distance, depth], axis=1)


def project(points: np.ndarray, distance: float) -> np.ndarray:
    """Camera space about the centre (N, 3) to image offsets from the centre (N, 2)."""
    return points[:, :2] * distance / (distance + points[:, 2:])


def metric_depth(landmarks: np.ndarray, pose: Pose) -> np.ndarray:
    """`landmarks` (478, 3) seen at `pose` with MediaPipe's relative depth made metric; x and y stay as observed.

    The mean of MediaPipe's own depth, corrected (see DEPTH_LINEAR), and of the average head's, laid over it, deepened
    by RELIEF. Depth is corrected in the frame in which the landmarks are an upright face, which is the raw pose's, and
    goes back by the calibrated one, which is where the head really points.
    """
    width = np.linalg.norm(landmarks[LEFT_SIDE] - landmarks[RIGHT_SIDE])
    middle = landmarks[[LEFT_SIDE, RIGHT_SIDE]].mean(0)
    head = (landmarks - middle) @ rotation(raw_pose(landmarks)) / width
    head[:, 2] = DEPTH_LINEAR * head[:, 2] + DEPTH_SQUARE * head[:, 2] ** 2 + DEPTH_TILT * head[:, 1]
    face = head[:MESH]
    average = scaled(face)[0][:, 2]
    tilt = np.column_stack([np.ones(MESH), face[:, 1]])
    average += tilt @ np.linalg.lstsq(tilt, face[:, 2] - average, rcond=None)[0]
    face[:, 2] += AVERAGE_SHARE * (average - face[:, 2])
    head[:, 2] *= RELIEF
    depth = (head @ rotation(pose).T)[:, 2] * width
    return np.column_stack([landmarks[:, :2], depth])


def build_head(landmarks: np.ndarray, pose: Pose, person: np.ndarray, inside: np.ndarray) -> HeadModel:
    """The head behind `landmarks` (478, 3) seen at `pose`; raises ValueError on landmarks that are not finite.

    person: (H, W) float32, how surely a pixel is the person. inside: (H, W) float32, 1 inside the photo.
    """
    if not np.isfinite(landmarks).all():
        raise ValueError(
            f"{(~np.isfinite(landmarks)).sum()} landmark coordinates are not finite; expected (478, 3) numbers"
        )
    points = metric_depth(landmarks.astype(np.float64), pose)
    width = float(np.linalg.norm(points[LEFT_SIDE] - points[RIGHT_SIDE]))
    upright = rotation(pose)
    middle = points[[LEFT_SIDE, RIGHT_SIDE]].mean(0)
    centre = middle + upright @ np.array([0.0, 0.0, 0.10 * width])
    distance = CAMERA_DISTANCE * width

    head = unproject(points, centre, distance) @ upright
    face, iris = head[:MESH], head[MESH:]
    vertices = np.concatenate([face, bent(face, scaled(face))])
    average = template().points
    triangles = np.concatenate([_sheet(face), template().triangles + MESH]).astype(np.int32)
    bald = HeadModel(vertices, triangles, _follows(average), vertices, iris, centre, distance, width)

    posed, flat = bald.posed(pose)
    up = -upright[:2, 1] / np.linalg.norm(upright[:2, 1])
    outline = find_outline(flat[bald.follows > 0.98], flat[list(OVAL)], up, person, inside)
    factor = 1 + (widening(flat, outline) - 1) * _hairy(average) * bald.follows
    middle = (outline.middle - centre[:2]) * (distance + posed[:, 2:]) / distance
    posed[:, :2] = middle + (posed[:, :2] - middle) * factor[:, None]
    wide = np.where(bald.follows[:, None] > 0.98, posed @ upright, vertices)
    behind_ears = (average[:, 2] > 0.38) & (below_jaw(average) < -0.25)
    back = (behind_ears | (average[:, 1] < -0.22)) & (np.arange(len(average)) >= MESH)
    covering = np.where(back[:, None], rim(flat, up, outline), np.nan)
    return HeadModel(wide, triangles, bald.follows, covering, iris, centre, distance, width)


def _hairy(average: np.ndarray) -> np.ndarray:
    """How far hair may push out vertices whose like in the template are `average` (V, 3): (V,), 0..1.

    Nothing of the face, everything at the outline of the skull and behind it.
    """
    sides = np.abs(template().landmarks[list(OVAL), 0]).max()
    top = template().landmarks[OVAL[0], 1]
    outwards = np.maximum((np.abs(average[:, 0]) - sides) / 0.1, (top - average[:, 1]) / 0.35)
    share = np.clip(np.maximum(outwards, average[:, 2] / 0.3), 0, 1)
    share[:MESH] = 0
    return share


@dataclass(frozen=True)
class Painted:
    """A head as a camera sees it.

    posed: (V, 3) vertices in camera space. flat: (V, 2) their pixels. front: (F,) int, the triangles that face the
    camera. index: (S, S) int32, which of those each pixel shows, -1 = none.
    """

    posed: np.ndarray
    flat: np.ndarray
    front: np.ndarray
    index: np.ndarray


def paint(head: HeadModel, pose: Pose, size: int) -> Painted:
    """`head` at `pose` in a square of `size` pixels."""
    posed, flat = head.posed(pose)
    front = np.flatnonzero(facing(flat[head.triangles]) > 1e-3)
    triangles = head.triangles[front]
    depth = posed[triangles, 2].mean(1)
    depth[(triangles < MESH).all(1)] -= TUCKED * head.width
    return Painted(posed, flat, front, triangle_index(flat[triangles], depth, size))


def _follows(points: np.ndarray) -> np.ndarray:
    """How much of the head's turn points (N, 3) of the template make; (N,) float64, 0..1."""
    share = np.clip(below_jaw(points) / NECK_LENGTH, 0, 1)
    share[:MESH] = 0
    return 1 - share**2 * (3 - 2 * share)


def _sheet(face: np.ndarray) -> np.ndarray:
    """Triangles (T, 3) over the landmarks (468, 3), none outside the face's outline."""
    import cv2
    from scipy.spatial import Delaunay

    triangles = Delaunay(face[:, :2]).simplices
    outline = face[list(OVAL), :2].astype(np.float32)
    middles = face[triangles].mean(1)[:, :2].tolist()
    within = np.array([cv2.pointPolygonTest(outline, (x, y), False) >= 0 for x, y in middles])
    triangles = triangles[within]
    a, b = (face[triangles[:, i], :2] - face[triangles[:, 0], :2] for i in (1, 2))
    inverted = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0
    triangles[inverted] = triangles[inverted][:, [0, 2, 1]]
    return triangles
