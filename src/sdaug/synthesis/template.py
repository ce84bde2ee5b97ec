"""An average bald head with ears and neck, bent so that its face becomes a given person's."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Landmarks of the face's outline, in order, starting at the top."""

_REACH = 0.8
"""How far a landmark bends the head around it, in face widths; beyond, the head only follows as a whole."""

_STIFFNESS = 0.05
"""Regularisation of the bending: landmarks are noisy, skulls are smooth."""


@dataclass(frozen=True)
class Template:
    """The average head. Frame: x right, y down, z away, origin between the outline's sides, unit: face widths.

    landmarks: (468, 3) float64 on its surface. vertices: (V, 3) float64 of everything that is not face. triangles:
    (T, 3) int32, wound so that their projected area is positive where their outer side is seen.
    bend: (V, 468) float64, displacement of the vertices per displacement of the landmarks. seam: (S, 2) int, pairs
    among `points` of a landmark and the vertex that continues the skin beyond it. Drawn from MakeHuman's assets (CC0)
    by scripts/head_template.py.
    """

    landmarks: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    bend: np.ndarray
    seam: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """Landmarks and vertices, in that order: (468 + V, 3)."""
        return np.concatenate([self.landmarks, self.vertices])


def below_jaw(points: np.ndarray) -> np.ndarray:
    """How far `points` (N, 3), in the template's frame, lie below the plane from under the chin to the nape: (N,)."""
    return points[:, 1] - np.clip(0.74 - 0.55 * (points[:, 2] + 0.1), 0.2, 0.9)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Wendland's C2 function (1995) of the distances of `a` (N, 3) and `b` (M, 3): (N, M), 1 at 0, 0 from _REACH on."""
    distance = np.sqrt(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)) / _REACH
    return np.clip(1 - distance, 0, None) ** 4 * (4 * distance + 1)


@lru_cache(maxsize=1)
def template() -> Template:
    """The template, read once."""
    with np.load(str(files("sdaug.face") / "data/head_template.npz"), allow_pickle=False) as data:
        landmarks = data["landmarks"].astype(np.float64)
        vertices = data["vertices"].astype(np.float64)
        triangles = data["triangles"].astype(np.int32)[:, ::-1]
    stiff = _kernel(landmarks, landmarks) + _STIFFNESS * np.eye(len(landmarks))
    bend = np.linalg.solve(stiff, _kernel(landmarks, vertices)).T
    distance = np.linalg.norm(landmarks[list(OVAL), None] - vertices, axis=2)
    seam = np.column_stack([np.repeat(OVAL, 3), len(landmarks) + np.argsort(distance, axis=1)[:, :3].ravel()])
    return Template(landmarks, vertices, np.ascontiguousarray(triangles), bend, seam)


@lru_cache(maxsize=1)
def mirrored() -> np.ndarray:
    """For each landmark and each vertex, in that order, the one in its mirror image's place: (468 + V,) int."""
    own = template()
    partners = []
    for points in (own.landmarks, own.vertices):
        distance = np.linalg.norm(points[:, None] - points[None] * [-1, 1, 1], axis=2)
        partners.append(distance.argmin(1))
    return np.concatenate([partners[0], partners[1] + len(own.landmarks)])


def scaled(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The template as large as a person: its landmarks (468, 3) and its vertices (V, 3) in the frame of `landmarks`.

    landmarks: (468, 3) upright, any unit. Width and height are fitted, depth is scaled by their mean (a face says
    nothing of how deep its head is), shift is the mean's.
    """
    own = template()
    factor = np.ones(3)
    for axis in (0, 1):
        a = own.landmarks[:, axis] - own.landmarks[:, axis].mean()
        factor[axis] = (a * (landmarks[:, axis] - landmarks[:, axis].mean())).sum() / (a**2).sum()
    factor[2] = (factor[0] + factor[1]) / 2
    shift = landmarks.mean(0) - factor * own.landmarks.mean(0)
    return own.landmarks * factor + shift, own.vertices * factor + shift


def bent(landmarks: np.ndarray, base: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The head's vertices (V, 3) moved with the difference of a person's `landmarks` (468, 3) from `scaled`'s."""
    return base[1] + template().bend @ (landmarks - base[0])
