"""Turning the photo: the head's own pixels re-rendered at a new pose over a background that stays where it is."""

from dataclasses import dataclass

import cv2
import numpy as np

from sdaug.face.mesh import FaceMesh
from sdaug.face.pose import MESH
from sdaug.face.rotation import rotation
from sdaug.synthesis.fill import pyramid_fill
from sdaug.synthesis.head import HeadModel, build_head, project
from sdaug.synthesis.mirror import borrowed, side_gain
from sdaug.synthesis.raster import affine_maps, facing, interpolate, triangle_index
from sdaug.synthesis.skin import spread
from sdaug.synthesis.template import OVAL, mirrored, template
from sdaug.types import Face, Photo, Pose, View

SIZE = 512
"""Side of every generated image, pixels."""

FACE_SHARE = 0.50
"""Height of the face outline as a share of the image."""


MAX_STRETCH = 12.0
"""A source pixel drawn over this many pixels is not shown, over half of it fully: smeared, it is still the person's."""

VALID_STRETCH = 4.0
"""From this stretch on a pixel is not valid any more, up to half of it fully."""

FINER = 2
"""The head's colours are kept at this scale: enlarged once, well, they may be looked up simply in every view."""

UNSEEN = 0.25
"""Below this validity a pixel belongs to the hole."""

_TOLERANCE = 0.1
"""A vertex this far (in face widths) behind what the source shows at its pixel is still that surface."""


_TUCKED = 0.08
"""The head's rim lies under the face by less than this, in face widths."""


@dataclass(frozen=True)
class Stage:
    """A source photo made ready for turning; shared by all its views.

    image: (SIZE, SIZE, 3) uint8 RGB, the photo framed about the head. layer: (FINER SIZE, 2 FINER SIZE, 3), the head's
    own colours, continued beyond its outline so that no background clings to it; its right half is lit like the far
    side of the face. own: (SIZE, 2 SIZE) float32, `matte` on the left, 1 in the right half. plate: (SIZE, SIZE, 3), the
    photo without the head. matte: (SIZE, SIZE) float32, 1 where a pixel moves with the head. inside: likewise, 1 inside
    the photo. untouched: likewise, 1 inside the photo but not on the head.
    texture: (T, 3, 2) float32, where in `own` the corners of each triangle of `head` find their colours. guessed: (T,)
    bool, not seen, but `texture` leads to what most likely looks the same: the other side of the face, or the hair.
    seen: (V,) float32, 1 = the source shows a vertex. colour: (V, 3) float32, its colour, guessed where it is not seen.
    """

    image: np.ndarray
    layer: np.ndarray
    plate: np.ndarray
    matte: np.ndarray
    inside: np.ndarray
    untouched: np.ndarray
    head: HeadModel
    own: np.ndarray
    texture: np.ndarray
    guessed: np.ndarray
    seen: np.ndarray
    colour: np.ndarray


def _frame(photo: Photo, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photo, its coverage and `landmarks`, scaled and shifted so that the face takes FACE_SHARE of a SIZE square."""
    oval = landmarks[list(OVAL)]
    middle = (oval[:, :2].max(0) + oval[:, :2].min(0)) / 2
    scale = float(FACE_SHARE * SIZE / max(np.ptp(oval[:, 1]), 1.25 * np.ptp(oval[:, 0])))
    shift = np.array([SIZE / 2, SIZE * 0.53]) - scale * middle
    pixels = photo.pixels
    place = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    if scale < 0.5:
        pixels = cv2.resize(pixels, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        place[:, :2] = [[0.5, 0], [0, 0.5]]
    image = cv2.warpAffine(pixels, place, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones(pixels.shape[:2], np.float32), place, (SIZE, SIZE))
    return image, inside, landmarks * np.float32(scale) + np.array([*shift, 0], np.float32)


def _polygon(points: np.ndarray, size: int, softness: float) -> np.ndarray:
    """A filled polygon (N, 2) with a soft edge: (size, size) float32, 0..1."""
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], [1.0])
    return cv2.GaussianBlur(mask, (0, 0), softness)


def set_stage(photo: Photo, face: Face, mesh: FaceMesh) -> Stage:
    """Frames `photo` about `face` and parts head from background; raises ValueError for a face without landmarks."""
    if face.landmarks is None or face.pose is None:
        raise ValueError("the face has no landmarks; expected one that the landmark network can read")
    image, inside, landmarks = _frame(photo, face.landmarks)
    outline = landmarks[list(OVAL), :2]
    person = mesh.person(image)
    head = build_head(landmarks, face.pose, person, inside)
    posed, texture = head.posed(face.pose)
    index, front = _paint(head, posed, texture)
    triangles = head.triangles[front]
    follows = interpolate(index, affine_maps(texture[triangles], head.follows[triangles][..., None]))[0]
    certain = _polygon(outline, SIZE, SIZE / 256)
    matte = np.maximum(person * np.clip(follows * 4, 0, 1), certain)
    matte = cv2.GaussianBlur(matte, (0, 0), 1.0)
    plate = _plate(image, inside, person, matte * (follows > 0.6), (index >= 0) & (follows < 0.6), outline)
    own = cv2.erode((matte > 0.9).astype(np.float32), np.ones((7, 7), np.uint8))
    layer = np.where((own > 0)[..., None], image, pyramid_fill(image, own))
    untouched = np.where(matte > 0.04, 0, inside).astype(np.float32)

    seen, known = _seen(head, posed, texture, index, triangles, own, inside)
    back = np.isfinite(head.rim[:, 0]) & ~known
    seen[back] = 0
    texture[back] = head.rim[back]
    soft = cv2.GaussianBlur(layer, (0, 0), 3)
    colour = _at(soft, texture)
    borrow = borrowed(seen, np.isfinite(head.rim[:, 0]) | (head.follows < 0.98))
    gain = side_gain(colour, seen, head.triangles) if borrow.any() else None
    corners, halves = texture[head.triangles], [layer, layer]
    from_other_side = np.zeros(len(head.triangles), bool)
    if gain is not None:
        partner = mirrored()[head.triangles]
        from_other_side = borrow[head.triangles].any(1) & (seen[partner] > 0.5).all(1)
        corners[from_other_side] = texture[partner[from_other_side]] + [SIZE, 0]
        colour[borrow] = (colour * gain)[mirrored()[borrow]]
        known = known | borrow
        lit = np.dstack(interpolate(index, affine_maps(texture[triangles], gain[triangles])))
        lit = cv2.GaussianBlur(np.where(index[..., None] >= 0, lit, 1.0), (0, 0), 6)
        halves[1] = np.clip(layer * lit, 0, 255).astype(np.uint8)
    colour = spread(colour, known | back, head.triangles, template().seam + [0, MESH])
    return Stage(
        image=image,
        layer=np.hstack([cv2.resize(half, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_CUBIC) for half in halves]),
        own=np.hstack([matte, np.ones_like(matte)]),
        plate=plate,
        matte=matte,
        inside=inside,
        untouched=untouched,
        head=head,
        texture=corners.astype(np.float32),
        guessed=from_other_side | back[head.triangles].all(1),
        seen=seen,
        colour=colour.astype(np.float32),
    )


def _at(image: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """The pixels of `image` (H, W, C) nearest to `spots` (N, 2): (N, C) float64."""
    columns, rows = np.round(spots).astype(int).clip(0, SIZE - 1).T
    return image[rows, columns].astype(np.float64)


def _plate(
    image: np.ndarray, inside: np.ndarray, person: np.ndarray, matte: np.ndarray, neck: np.ndarray, outline: np.ndarray
) -> np.ndarray:
    """The photo without its head: what is behind it continued smoothly, also where the photo ends."""
    rows = np.arange(SIZE)[:, None]
    chin, top = outline[:, 1].max(), outline[:, 1].min()
    core = (matte > 0.04) | ((person > 0.1) & ~neck & (rows < chin))
    halo = cv2.dilate(core.astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    taken = core | (halo & ((person < 0.5) | (rows < chin - 0.25 * (chin - top))) & ~neck)
    background = ~taken & (inside > 0.5) & (person < 0.1)
    filled = pyramid_fill(image, (background if background.any() else ~taken & (inside > 0.5)).astype(np.float32))
    gone = (taken | (inside < 0.5)).astype(np.float32)
    soft = cv2.GaussianBlur(gone, (0, 0), 2)[..., None]
    return np.clip(np.round(filled * soft + image * (1 - soft)), 0, 255).astype(np.uint8)


def _paint(head: HeadModel, posed: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the triangles that face the camera each pixel shows, (SIZE, SIZE) int32, and which those are (F,)."""
    front = np.flatnonzero(facing(flat[head.triangles]) > 1e-3)
    triangles = head.triangles[front]
    depth = posed[triangles, 2].mean(1)
    depth[(triangles < MESH).all(1)] -= _TUCKED * head.width
    return triangle_index(flat[triangles], depth, SIZE), front


def _seen(
    head: HeadModel,
    posed: np.ndarray,
    flat: np.ndarray,
    index: np.ndarray,
    triangles: np.ndarray,
    own: np.ndarray,
    inside: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How far the source shows each vertex, (V,) float32, and whether its colour is there to be read, (V,) bool."""
    spots = np.round(flat).astype(int)
    within = ((spots >= 0) & (spots < SIZE)).all(1)
    rows, columns = spots[:, 1].clip(0, SIZE - 1), spots[:, 0].clip(0, SIZE - 1)
    nearest = index[rows, columns]
    surface = posed[triangles, 2].mean(1)[nearest]
    unhidden = within & (nearest >= 0) & (posed[:, 2] < surface + _TOLERANCE * head.width)

    corners = posed[head.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(posed)
    for corner in range(3):
        np.add.at(total, head.triangles[:, corner], normal)
    towards = posed + [0, 0, head.distance]
    cosine = (total * towards).sum(1) / np.maximum(
        np.linalg.norm(total, axis=1) * np.linalg.norm(towards, axis=1), 1e-9
    )
    seen = unhidden * np.clip(cosine / 0.08, 0, 1)
    seen[:MESH] = np.clip((cosine[:MESH] + 0.1) / 0.15, 0, 1)
    seen *= within & (inside[rows, columns] > 0.5)
    known = unhidden & (cosine > 0.35) & (own[rows, columns] > 0.5) & (inside[rows, columns] > 0.5)
    return seen.astype(np.float32), known


def turn(stage: Stage, pose: Pose) -> View:
    """The staged head at `pose`. Vectorised but for the painting of some thousand triangles."""
    head = stage.head
    posed, flat = head.posed(pose)
    index, front = _paint(head, posed, flat)
    rows, columns = _window((index >= 0) | (stage.matte > 0))
    place = _places(stage, flat, index, front, rows, columns)
    covered = (index[rows, columns] >= 0).astype(np.float32)

    layer = cv2.remap(stage.layer, *place.finer, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    own = cv2.remap(stage.own, *place.source, cv2.INTER_LINEAR)
    shown = cv2.blendLinear(layer, place.colour, place.trust, 1 - place.trust)
    around = cv2.resize(cv2.GaussianBlur(covered[::2, ::2], (0, 0), 2), covered.shape[::-1])
    edge = own * place.valid + place.opaque * (1 - place.valid)
    solid = place.opaque * np.clip((around - 0.9) * 10, 0, 1)
    # the head's outline is made of triangles; their corners are rounded off
    alpha = cv2.GaussianBlur(np.maximum(edge, solid) * covered * np.clip((around - 0.35) / 0.3, 0, 1), (0, 0), 0.8)
    image, valid = stage.plate.copy(), stage.untouched.copy()
    image[rows, columns] = cv2.blendLinear(shown, stage.plate[rows, columns], alpha, 1 - alpha)
    valid[rows, columns] = alpha * (place.valid * covered) + (1 - alpha) * stage.untouched[rows, columns]

    iris = head.iris @ rotation(pose).T
    iris_flat = project(iris, head.distance) + head.centre[:2]
    points = np.concatenate([flat[:MESH], iris_flat]), np.concatenate([posed[:MESH, 2], iris[:, 2]])
    return View(pose, image, valid, valid < UNSEEN, np.column_stack(points).astype(np.float32))


@dataclass(frozen=True)
class _Places:
    """Per pixel of a window (h, w): where in the source it lies (x, y), and how far that is to be used.

    finer: the same place in `Stage.layer`, which is FINER times as large.

    trust: 0..1, shown from the source rather than in `colour` (h, w, 3) uint8. valid: 0..1, the person's own pixel.
    opaque: 0..1, hides what is behind even where the source does not show it. All float32.
    """

    source: tuple[np.ndarray, np.ndarray]
    finer: tuple[np.ndarray, np.ndarray]
    trust: np.ndarray
    valid: np.ndarray
    opaque: np.ndarray
    colour: np.ndarray


def _places(
    stage: Stage, flat: np.ndarray, index: np.ndarray, front: np.ndarray, rows: slice, columns: slice
) -> _Places:
    """`_Places` of the window at `rows` and `columns`; what varies slowly is worked out at fewer pixels."""
    triangles = stage.head.triangles[front]
    corners, source = flat[triangles], stage.texture[front]
    x, y = interpolate(index[rows, columns], affine_maps(corners, source), (rows.start, columns.start))
    stretch = facing(corners) / np.maximum(np.abs(facing(source)), 1e-3)
    trust, valid = (
        np.clip((most - stretch) / (most / 2), 0, 1)[:, None] * stage.seen[triangles]
        for most in (MAX_STRETCH, VALID_STRETCH)
    )
    trust[stage.guessed[front]] = 1
    opaque = np.clip((stage.head.follows - 0.3) / 0.3, 0, 1)
    soft = _coarsely(index, corners, np.dstack([trust, valid, opaque[triangles]]), 2, rows, columns)
    colour = _coarsely(index, corners, stage.colour[triangles], 4, rows, columns)
    return _Places(
        source=(x, y),
        finer=(x * FINER + (FINER - 1) / 2, y * FINER + (FINER - 1) / 2),
        trust=soft[0].clip(0, 1),
        valid=soft[1].clip(0, 1),
        opaque=soft[2].clip(0, 1),
        colour=np.dstack(colour).clip(0, 255).astype(np.uint8),
    )


def _coarsely(
    index: np.ndarray, corners: np.ndarray, values: np.ndarray, step: int, rows: slice, columns: slice
) -> list[np.ndarray]:
    """`values` (F, 3, C) of the triangles' corners where `index` shows them, softly, from every `step`-th pixel."""
    first, last = (rows.start // step, columns.start // step), (-(-rows.stop // step), -(-columns.stop // step))
    few = index[::step, ::step][first[0] : last[0], first[1] : last[1]]
    rough = interpolate(few, affine_maps(corners / step, values), first)
    rough = [cv2.GaussianBlur(channel, (0, 0), 1.5) for channel in rough]
    return [cv2.resize(channel, (columns.stop - columns.start, rows.stop - rows.start)) for channel in rough]


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold all of `mask` (H, W) bool; everything if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
