"""A whole head around the face mesh: the landmarks in 3-D, extended by an elliptic skull."""

from dataclasses import dataclass

import numpy as np

from sdaug.face.pose import MESH, raw_pose
from sdaug.face.rotation import rotation
from sdaug.types import Pose

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Landmarks of the face's outline, in order, starting at the top."""

LEFT_SIDE, RIGHT_SIDE = 454, 234
"""Outline landmarks before the subject's left and right ear."""

CAMERA_DISTANCE = 7.0
"""Assumed distance from camera to head, in face widths: a portrait at about one metre."""

DEPTH_LINEAR, DEPTH_SQUARE, DEPTH_TILT = 1.2, 0.3, -0.09
"""Metric depth = LINEAR z + SQUARE z^2 + TILT y of MediaPipe's z and y, in face widths from the ears, head frame.

MediaPipe's noses stand out too far, cheeks fall back too little, its chins lie too far back: chosen on one 3-D head,
used unchanged for everybody; see docs/decisions/0002-depth.md."""

_FRONT = np.linspace(0, 1, 6)[1:] * np.pi / 2
"""Angles of the rings between the face's outline (0) and the skull's (90 degrees)."""

_EDGE_PX = 5.0
"""The skull keeps this far inside the person's outline, whose pixels are mixed with background."""

_HAIR = (0.5, 1.0)
"""Rings of the flat brim that carries hair beyond the skull, as shares of its reach."""

_BACK = np.array([0.3, 0.6, 0.9, 1.2])
"""Angles of the rings behind the skull's outline."""


@dataclass(frozen=True)
class HeadModel:
    """A textured head in its own upright frontal frame, origin at the centre of rotation, unit: source pixels.

    vertices: (V, 3) float64. texture: (V, 2) float32, where each vertex is seen in the source. triangles: (T, 3) int32.
    outside: (T,) float64, the sign a triangle's projected area has when its outer side faces the camera. seen: (V,)
    float32, 1 = the source shows this point, 0 = guessed (behind the outline). centre: (3,) of the rotation
    in the source image. distance: camera to centre, pixels. The first 468 vertices are the landmarks.
    """

    vertices: np.ndarray
    texture: np.ndarray
    triangles: np.ndarray
    outside: np.ndarray
    seen: np.ndarray
    centre: np.ndarray
    distance: float
    iris: np.ndarray


def unproject(points: np.ndarray, centre: np.ndarray, distance: float) -> np.ndarray:
    """Image points with relative depth (N, 3) to camera space about `centre` (N, 3), under a perspective camera."""
    depth = points[:, 2:] - centre[2]
    return np.concatenate([(points[:, :2] - centre[:2]) * (distance + depth) / distance, depth], axis=1)


def project(points: np.ndarray, distance: float) -> np.ndarray:
    """Camera space about the centre (N, 3) to image offsets from the centre (N, 2)."""
    return points[:, :2] * distance / (distance + points[:, 2:])


def metric_depth(landmarks: np.ndarray, pose: Pose) -> np.ndarray:
    """`landmarks` (478, 3) seen at `pose` with MediaPipe's relative depth made metric; x and y stay as observed.

    See DEPTH_LINEAR.
    """
    width = np.linalg.norm(landmarks[LEFT_SIDE] - landmarks[RIGHT_SIDE])
    middle = landmarks[[LEFT_SIDE, RIGHT_SIDE]].mean(0)
    head = (landmarks - middle) @ rotation(raw_pose(landmarks)) / width
    head[:, 2] = DEPTH_LINEAR * head[:, 2] + DEPTH_SQUARE * head[:, 2] ** 2 + DEPTH_TILT * head[:, 1]
    depth = (head @ rotation(pose).T)[:, 2] * width
    return np.column_stack([landmarks[:, :2], depth])


@dataclass(frozen=True)
class _Reach:
    """How far the head goes beyond the face's outline in each of K directions, pixels: all (K,) but radial (K, 2)."""

    radial: np.ndarray
    up: np.ndarray
    down: np.ndarray
    skull: np.ndarray
    hair: np.ndarray


def _reach(outline: np.ndarray, person: np.ndarray, inside: np.ndarray, width: float, height: float) -> _Reach:
    """Follows the person's outline around the face: an average skull, less where the person ends, hair beyond it.

    outline: (K, 2) in the image. Outside the photo nothing is known, there the average skull is assumed.
    """
    radial = outline - outline.mean(0)
    radial /= np.linalg.norm(radial, axis=1, keepdims=True)
    up, down = np.clip(-radial[:, 1], 0, 1), np.clip(radial[:, 1], 0, 1)
    skull = (0.19 * width + 0.12 * height * up**2) * (1 - down) + 0.05 * width * down
    most = skull + (0.22 * width + 0.28 * height * up**2) * (1 - down**0.5)

    steps = np.arange(1.0, float(most.max()) + 2.0, 2.0)
    spots = np.round(outline[:, None] + radial[:, None] * steps[:, None]).astype(int)
    rows, columns = spots[..., 1].clip(0, person.shape[0] - 1), spots[..., 0].clip(0, person.shape[1] - 1)
    known = (inside[rows, columns] > 0.5) & (spots == np.stack([columns, rows], -1)).all(-1)
    head = np.where(known, person[rows, columns] > 0.5, steps <= skull[:, None]) & (steps <= most[:, None])
    ends = np.where(head.all(1), steps[-1], steps[np.argmin(head, axis=1)])
    ends = np.median([np.roll(ends, -1), ends, np.roll(ends, 1)], axis=0)
    solid = np.minimum(skull, np.maximum(ends - _EDGE_PX, 1.0))
    return _Reach(radial, up, down, solid, np.maximum(ends + 2.0 - solid, 2.0))


def _skull(oval: np.ndarray, reach: _Reach, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Rings around and behind the outline `oval` (K, 3), head frame: seen ones (7 K, 3) and guessed ones (4 K, 3).

    The top of a head curves back slowly, its sides fall back at once.
    """
    depth = 0.08 * width + 0.06 * width * reach.up - 0.12 * width * reach.down
    seen = []
    for phi in _FRONT:
        slow, fast = 1 - np.cos(phi), np.sin(phi)
        out = reach.skull * (reach.up * fast + (1 - reach.up) * slow)
        back = (depth - oval[:, 2]) * (reach.up * slow + (1 - reach.up) * fast)
        seen.append(np.column_stack([oval[:, :2] + reach.radial * out[:, None], oval[:, 2] + back]))
    edge = seen[-1]
    for share in _HAIR:
        seen.append(np.column_stack([edge[:, :2] + reach.radial * (reach.hair * share)[:, None], edge[:, 2]]))
    behind = 0.60 * width * (1 - reach.down)
    guessed = [np.column_stack([edge[:, :2] * np.cos(psi), depth + behind * np.sin(psi)]) for psi in _BACK]
    return np.concatenate(seen), np.concatenate(guessed)


def _bands(first: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Triangles between `rows` successive closed rings of `columns` vertices; row r starts at vertex first[r]."""
    here = np.arange(columns)
    after = (here + 1) % columns
    triangles = []
    for inner, outer in zip(first[:-1], first[1:], strict=True):
        triangles.append(np.column_stack([inner + here, inner + after, outer + here]))
        triangles.append(np.column_stack([inner + after, outer + after, outer + here]))
    return np.concatenate(triangles)


def build_head(landmarks: np.ndarray, pose: Pose, person: np.ndarray, inside: np.ndarray) -> HeadModel:
    """The head behind `landmarks` (478, 3) seen at `pose`; raises ValueError on landmarks that are not finite.

    person: (H, W) float32, how surely a pixel is the person. inside: (H, W) float32, 1 inside the photo.
    """
    if not np.isfinite(landmarks).all():
        raise ValueError("landmarks hold values that are not finite")
    from scipy.spatial import Delaunay

    points = metric_depth(landmarks.astype(np.float64), pose)
    width = float(np.linalg.norm(points[LEFT_SIDE] - points[RIGHT_SIDE]))
    upright = rotation(pose)
    middle = points[[LEFT_SIDE, RIGHT_SIDE]].mean(0)
    centre = middle + upright @ np.array([0.0, 0.0, 0.10 * width])
    distance = CAMERA_DISTANCE * width

    head = unproject(points, centre, distance) @ upright
    face, iris = head[:MESH], head[MESH:]
    oval = face[list(OVAL)]
    height = float(np.ptp(oval[:, 1]))
    reach = _reach(points[list(OVAL), :2], person, inside, width, height)
    front, back = _skull(oval, reach, width)
    vertices = np.concatenate([face, front, back])

    sheet = Delaunay(np.concatenate([face, front])[:, :2]).simplices
    columns = len(OVAL)
    skull_edge = MESH + columns * (len(_FRONT) - 1)
    behind = len(face) + len(front)
    first = np.concatenate([[skull_edge], behind + columns * np.arange(len(_BACK))])
    triangles = np.concatenate([sheet, _bands(first, len(_BACK) + 1, columns)]).astype(np.int32)

    texture = project(vertices @ upright.T, distance) + centre[:2]
    inner = texture[MESH : MESH + columns]
    edge = texture[skull_edge : skull_edge + columns] * 0.7 + inner * 0.3
    for ring, psi in enumerate(_BACK):
        start = behind + ring * columns
        texture[start : start + columns] = edge + (inner - edge) * np.sin(psi)
    seen = np.concatenate([np.ones(len(face) + len(front)), np.zeros(len(back))]).astype(np.float32)
    outside = _outside(vertices[triangles], seen[triangles].min(1) > 0)
    return HeadModel(vertices, texture.astype(np.float32), triangles, outside, seen, centre, distance, iris)


def _outside(corners: np.ndarray, sheet: np.ndarray) -> np.ndarray:
    """`HeadModel.outside` of triangles (T, 3, 3): the sheet faces the camera in the frontal head, the back outwards."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(a, b)
    # towards the camera is towards negative z, and such a triangle's projected area has the sign of -normal z
    away = np.where((normal * corners.mean(1)).sum(1) > 0, -1.0, 1.0)
    return np.where(sheet, np.sign(normal[:, 2]), away)
