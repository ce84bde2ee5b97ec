"""A whole head around the face mesh: the landmarks in 3-D, extended by an elliptic skull."""

from dataclasses import dataclass

import numpy as np

from sdaug.face.pose import MESH
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

_FRONT = np.linspace(0, 1, 6)[1:] * np.pi / 2
"""Elliptic angles of the rings between the face's outline (0) and the skull's outline (90 degrees)."""

_HAIR = (0.5, 1.0)
"""Rings of the flat brim beyond the skull that carries hair, as shares of its reach."""

_BACK = np.array([0.3, 0.6, 0.9, 1.2])
"""Elliptic angles of the rings behind the skull's outline."""


@dataclass(frozen=True)
class HeadModel:
    """A textured head in its own upright frontal frame, origin at the centre of rotation, unit: source pixels.

    vertices: (V, 3) float64. texture: (V, 2) float32, where each vertex is seen in the source. triangles: (T, 3) int32.
    seen: (V,) float32, 1 = the source shows this point, 0 = guessed (behind the outline). centre: (3,) of the rotation
    in the source image. distance: camera to centre, pixels. The first 468 vertices are the landmarks.
    """

    vertices: np.ndarray
    texture: np.ndarray
    triangles: np.ndarray
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


def _skull(oval: np.ndarray, width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Rings around and behind the outline `oval` (K, 3), head frame: seen ones (7 K, 3) and guessed ones (4 K, 3)."""
    radial = oval[:, :2] / np.linalg.norm(oval[:, :2], axis=1, keepdims=True)
    up, down = np.clip(-radial[:, 1], 0, 1), np.clip(radial[:, 1], 0, 1)
    skull = (0.17 * width + 0.10 * height * up**2) * (1 - down) + 0.05 * width * down
    hair = (0.22 * width + 0.25 * height * up**2) * (1 - down**0.5)
    depth = 0.12 * width * up + 0.05 * width - 0.10 * width * down
    seen = []
    for phi in _FRONT:
        flat = oval[:, :2] + radial * (skull * np.sin(phi))[:, None]
        seen.append(np.column_stack([flat, depth - (depth - oval[:, 2]) * np.cos(phi)]))
    edge = seen[-1]
    for share in _HAIR:
        seen.append(np.column_stack([edge[:, :2] + radial * (hair * share)[:, None], depth + 0.05 * width * share]))
    behind = 0.60 * width * (1 - down)
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


def build_head(landmarks: np.ndarray, pose: Pose) -> HeadModel:
    """The head behind `landmarks` (478, 3) seen at `pose`; raises ValueError on landmarks that are not finite."""
    if not np.isfinite(landmarks).all():
        raise ValueError("landmarks hold values that are not finite")
    from scipy.spatial import Delaunay

    points = landmarks.astype(np.float64)
    width = float(np.linalg.norm(points[LEFT_SIDE] - points[RIGHT_SIDE]))
    upright = rotation(pose)
    middle = points[[LEFT_SIDE, RIGHT_SIDE]].mean(0)
    centre = middle + upright @ np.array([0.0, 0.0, 0.10 * width])
    distance = CAMERA_DISTANCE * width

    head = unproject(points, centre, distance) @ upright
    face, iris = head[:MESH], head[MESH:]
    oval = face[list(OVAL)]
    height = float(np.ptp(oval[:, 1]))
    front, back = _skull(oval, width, height)
    vertices = np.concatenate([face, front, back])

    sheet = Delaunay(np.concatenate([face, front])[:, :2]).simplices
    columns = len(OVAL)
    skull_edge = MESH + columns * (len(_FRONT) - 1)
    behind = len(face) + len(front)
    first = np.concatenate([[skull_edge], behind + columns * np.arange(len(_BACK))])
    triangles = np.concatenate([sheet, _bands(first, len(_BACK) + 1, columns)]).astype(np.int32)

    texture = project(vertices @ upright.T, distance) + centre[:2]
    edge = texture[skull_edge : skull_edge + columns]
    inner = texture[MESH : MESH + columns]
    for ring, psi in enumerate(_BACK):
        start = behind + ring * columns
        texture[start : start + columns] = edge + (inner - edge) * np.sin(psi)
    seen = np.concatenate([np.ones(len(face) + len(front)), np.zeros(len(back))]).astype(np.float32)
    return HeadModel(vertices, texture.astype(np.float32), triangles, seen, centre, distance, iris)
