"""Pairs for training and evaluation: a picture, and the same with a hole as turning a head leaves one.

A photo is turned to a base pose (or left as it is), that view is turned on to another pose and back. What the way back
cannot show is the hole; the picture before it is the exact truth. Resumable: a photo whose pairs are there is passed.

    python experiments/nano/prepare.py --faces FACES --people train --out build/nano/train
"""

import argparse
import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pictures import backdrop, read_textures, recoloured

from sdaug.diffusion.strength import CELL, kept
from sdaug.face.photo import photo_from_array, read_photo
from sdaug.packs import FacePack, face_from_landmarks, load_pack
from sdaug.synthesis.control import control_image
from sdaug.synthesis.stage import SIZE, Stage, set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES, Photo, Pose

PEOPLE = Path(__file__).with_name("people.json")


@dataclass(frozen=True)
class Pair:
    """truth, source: (512, 512, 3) uint8 RGB, the picture, and the same with its hole filled as the warp fills one.

    known, valid: (512, 512) float32 0..1, how far `truth` is the person's own pixel, and how far `source` shows it.
    landmarks: (478, 3) float32, as a View's. control: (512, 512, 3) uint8 RGB.
    """

    truth: np.ndarray
    source: np.ndarray
    known: np.ndarray
    valid: np.ndarray
    landmarks: np.ndarray
    control: np.ndarray


def make_pair(stage: Stage, own: Pose, base: Pose | None, there: Pose, pack: FacePack) -> Pair:
    """base: the pose of the truth; None is the photo as it is, at its `own`. there: the pose it is turned to."""
    view = turn(stage, base or own)
    if base is None:
        truth, known = stage.image, np.maximum(stage.untouched, np.clip(stage.matte * 4, 0, 1))
    else:
        truth, known = view.image, view.valid
    image, landmarks = truth, view.landmarks
    valid = np.ones((SIZE, SIZE), np.float32)
    for pose in (there, base or own):
        staged = set_stage(photo_from_array(image), face_from_landmarks(landmarks, 1.0), pack.mesh)
        turned = turn(staged, pose)
        image, landmarks, valid = turned.image, turned.landmarks, turned.valid
    place = _onto(landmarks[:, :2], view.landmarks[:, :2])
    image = cv2.warpAffine(image, place, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    valid = cv2.warpAffine(valid, place, (SIZE, SIZE))
    source = cv2.blendLinear(truth, image, valid, 1 - valid)
    drawn = control_image(view.landmarks, SIZE, "mediapipe_face")
    return Pair(truth, source, known, valid, view.landmarks, drawn)


def _onto(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(2, 3) scale and shift, no more, that brings `points` (N, 2) nearest to `wanted` (N, 2)."""
    middle, goal = points.mean(0), wanted.mean(0)
    scale = ((points - middle) * (wanted - goal)).sum() / ((points - middle) ** 2).sum()
    return np.column_stack([np.eye(2) * scale, goal - scale * middle])


def random_poses(generator: np.random.Generator) -> tuple[Pose | None, Pose]:
    """(base, there): half of the bases are the photo as it is."""

    def pose() -> Pose:
        side = generator.choice([-1, 1])
        yaw, pitch = side * generator.uniform(15, 55), generator.uniform(-10, 10)
        if generator.random() < 0.35:
            yaw, pitch = generator.uniform(-15, 15), generator.choice([-1, 1]) * generator.uniform(12, 32)
        return Pose(float(yaw), float(pitch))

    base, there = pose(), pose()
    if generator.random() < 0.5:
        return None, there
    if base.yaw_deg * there.yaw_deg > 0:
        there = Pose(-there.yaw_deg, there.pitch_deg)
    return base, Pose(there.yaw_deg * 0.6, there.pitch_deg)


def elsewhere(photo: Photo, person: np.ndarray, textures: list[np.ndarray], generator: np.random.Generator) -> Photo:
    """`photo` in other colours, and mostly before another background: all of the set's are the same grey.

    person: (H, W) float32, 1 where the person is.
    """
    pixels = photo.pixels
    if generator.random() < 0.7:
        behind = backdrop(textures, *pixels.shape[:2], generator)
        # The set's own grey shines through at the hair's edge; a tighter mask keeps most of it out.
        mask = np.clip((cv2.GaussianBlur(person, (0, 0), 1.5) - 0.5) * 2.5, 0, 1)
        pixels = cv2.blendLinear(pixels, behind, mask, 1 - mask)
    if generator.random() < 0.7:
        pixels = np.round((recoloured(pixels, generator) + 1) * 127.5).astype(np.uint8)
    return Photo(pixels, photo.sha256, photo.name)


def write_pair(pair: Pair, path: Path) -> None:
    """One PNG a part beside each other under `path`; in an .npz, written last, the landmarks and both maps by cells."""
    for name in ("truth", "source", "control"):
        cv2.imwrite(f"{path}_{name}.png", getattr(pair, name)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    for name in ("known", "valid"):
        cv2.imwrite(f"{path}_{name}.png", np.round(getattr(pair, name) * 255).astype(np.uint8))
    np.savez(f"{path}.npz", known=_cells(pair.known), stays=_cells(kept(pair.valid)), landmarks=pair.landmarks)


def read_pair(path: Path) -> Pair:
    """What `write_pair` wrote under `path`."""
    truth, source, control = (cv2.imread(f"{path}_{n}.png")[..., ::-1].copy() for n in ("truth", "source", "control"))
    known, valid = (cv2.imread(f"{path}_{n}.png", cv2.IMREAD_GRAYSCALE).astype(np.float32) for n in ("known", "valid"))
    return Pair(truth, source, known / 255, valid / 255, np.load(f"{path}.npz")["landmarks"], control)


def _cells(share: np.ndarray) -> np.ndarray:
    return cv2.resize(share, (SIZE // CELL,) * 2, interpolation=cv2.INTER_AREA).astype(np.float16)


def _photo(job: tuple[Path, bool, Path, int, bool]) -> str:
    """All pairs of one photo; what became of it, in words."""
    path, mirrored, out, count, fixed = job
    cv2.setNumThreads(1)
    name = f"{path.stem}{'_mirrored' if mirrored else ''}"
    if (out / f"{name}_{count - 1:02d}.npz").exists():
        return f"{name}: there"
    photo = read_photo(path)
    if mirrored:
        photo = Photo(np.ascontiguousarray(photo.pixels[:, ::-1]), photo.sha256, photo.name)
    pack = load_pack("embedded")
    face = pack.largest(photo.pixels)
    if face is None or face.pose is None:
        return f"{name}: no face"
    generator = np.random.default_rng([*path.stem.encode(), mirrored])
    person, textures = pack.mesh.person(photo.pixels), read_textures()
    for i in range(count):
        base, there = (None, ANGLES[1 + i]) if fixed else random_poses(generator)
        shown = photo if fixed else elsewhere(photo, person, textures, generator)
        stage = set_stage(shown, face, pack.mesh)
        write_pair(make_pair(stage, face.pose, base, there, pack), out / f"{name}_{i:02d}")
    return f"{name}: {count} pairs"


def _photos(faces: Path, people: str) -> list[Path]:
    which = "neutral" if people == "held_out" else "*"
    names = json.loads(PEOPLE.read_text())[people]
    return [path for name in names for path in sorted((faces / "london").glob(f"{name}_{which}.jpg"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    of = parser.add_mutually_exclusive_group(required=True)
    of.add_argument("--people", choices=("train", "held_out"))
    of.add_argument("--photo", type=Path, help="one photo only, treated as a held-out person's")
    parser.add_argument("--faces", type=Path, help="folder that holds london/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=8, help="of each photo; held out: at the angles after the first")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    held_out = asked.people != "train"
    photos = [asked.photo] if asked.photo else _photos(asked.faces, asked.people)
    ways = (False,) if held_out else (False, True)
    jobs = [(path, mirrored, asked.out, asked.pairs, held_out) for path in photos for mirrored in ways]
    with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
        for done, what in enumerate(pool.imap(_photo, jobs), 1):
            print(f"{done}/{len(jobs)} {what}", flush=True)


if __name__ == "__main__":
    main()
