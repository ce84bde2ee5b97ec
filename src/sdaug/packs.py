"""A face pack: one detector and its recognisers, by name. Nothing swaps one pack for another by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.config import nearest
from sdaug.face.mesh import MIN_DETECTION, Detection, FaceMesh, distinct, padded
from sdaug.face.pose import estimate_pose
from sdaug.face.reading import read_pose
from sdaug.measure.digest import file_sha256
from sdaug.recognition import AbstractRecogniser
from sdaug.recognition.dlib_resnet import DlibResnet, model_file
from sdaug.types import Face

INSIGHTFACE_PACKS = ("buffalo_l", "buffalo_m", "buffalo_s", "antelopev2")
"""Packs insightface's own downloader knows; non-commercial research licence."""

DLIB = DlibResnet.name

_NETWORKS = ("face_detection/face_detection_short_range.tflite", "face_landmark/face_landmark_with_attention.tflite")
"""MediaPipe's, below its `modules`."""

CLEAR_CONFIDENCE = 0.7
"""A face the landmark network cannot read still counts as a person if the detector is this sure."""

_SCALES = ((0.25, 640), (0.5, 320))
"""(border, detector input) for SCRFD: the first sees small faces, the second is fair to faces that fill the frame."""

_FIVE = (468, 473, 1, 61, 291)
"""Mesh landmarks nearest to a detector's five points: iris, iris, nose tip, mouth corner, mouth corner."""


class PackError(RuntimeError):
    """A face pack that cannot be had; the message says what was looked for and what exists."""


@dataclass(frozen=True)
class FacePack:
    """What sees and knows faces. `recognisers[0]` is the pack's own; `facts` go into every record.

    detect: image (H, W, 3) uint8 RGB -> faces, best first, each with its five points or None.
    """

    name: str
    detect: Callable[[np.ndarray], list[tuple[Detection, np.ndarray | None]]]
    recognisers: tuple[AbstractRecogniser, ...]
    mesh: FaceMesh
    facts: dict[str, Any]

    def faces(self, image: np.ndarray) -> list[Face]:
        """All faces in `image` (H, W, 3) uint8 RGB, best first."""
        return [self._face(image, detection, points) for detection, points in self.detect(image)]

    def largest(self, image: np.ndarray) -> Face | None:
        """The largest face in `image` (H, W, 3) uint8 RGB, None if there is none."""
        return max(self.faces(image), key=lambda face: face.area, default=None)

    def _face(self, image: np.ndarray, detection: Detection, points: np.ndarray | None) -> Face:
        landmarks = self.mesh.landmarks(image, detection.box)
        pose = read_pose(landmarks, points)
        if points is None:
            points = landmarks[list(_FIVE), :2] if landmarks is not None else _box_points(detection.box)
        return Face(detection.box, detection.score, points.astype(np.float32), landmarks, pose)

    def close(self) -> None:
        """Frees the networks."""
        self.mesh.close()


def clear(faces: Sequence[Face]) -> list[Face]:
    """The faces that count as persons: the landmark network can read them, or the detector is sure of them."""
    return [face for face in faces if face.landmarks is not None or face.confidence > CLEAR_CONFIDENCE]


def face_from_landmarks(landmarks: np.ndarray, confidence: float) -> Face:
    """The face whose landmarks (478, 3) are known beforehand, as in a generated view, without looking at any pixel."""
    low, high = landmarks[:468, :2].min(0), landmarks[:468, :2].max(0)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return Face(box, confidence, landmarks[list(_FIVE), :2].astype(np.float32), landmarks, estimate_pose(landmarks))


def _box_points(box: tuple[float, float, float, float]) -> np.ndarray:
    """Five points of an average face filling `box`, for a detection the landmark network cannot read."""
    x0, y0, x1, y1 = box
    unit = np.array([(0.3, 0.38), (0.7, 0.38), (0.5, 0.58), (0.34, 0.78), (0.66, 0.78)])
    return unit * [x1 - x0, y1 - y0] + [x0, y0]


def check_pack(name: str) -> None:
    """Raises PackError unless `name` is a folder or a known pack; looks at no file inside it."""
    known = ["embedded", *INSIGHTFACE_PACKS]
    if name not in known and not Path(name).expanduser().is_dir():
        raise PackError(f"unknown face pack {name!r}: neither a folder nor a known name; {nearest(name, known)}")


def pack_files(name: str) -> dict[str, Path]:
    """Every file that the pack `name` reads, by what its facts call it; none is opened. Raises PackError as
    `load_pack`."""
    check_pack(name)
    own = {DLIB: model_file("dlib_face_recognition_resnet_model_v1.dat")}
    if name == "embedded":
        spec = find_spec("mediapipe")
        if spec is None or not spec.submodule_search_locations:
            raise PackError("face pack 'embedded' needs the package 'mediapipe', which is not installed")
        root = Path(spec.submodule_search_locations[0]) / "modules"
        return {Path(network).name: root / network for network in _NETWORKS} | own
    return {model.name: model for model in _models(_folder(name))} | own


def load_pack(name: str) -> FacePack:
    """The pack `embedded` (MediaPipe and dlib, from PyPI alone), an insightface folder, or an insightface name."""
    check_pack(name)
    return _embedded() if name == "embedded" else _insightface(_folder(name), Path(name).name)


def _folder(name: str) -> Path:
    """Where an insightface pack lies."""
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser().resolve()
    folder = Path("~/.insightface/models").expanduser() / name
    if not folder.is_dir():
        raise PackError(
            f"face pack {name!r} is not on this machine (looked for {folder}); `sdaug models pull {name}` fetches it "
            "(non-commercial research licence), or give a folder"
        )
    return folder


def _models(folder: Path) -> list[Path]:
    models = sorted(folder.glob("*.onnx"))
    if not models:
        raise PackError(f"face pack folder {folder} holds no .onnx file; expected a detector and a recogniser")
    return models


def _embedded() -> FacePack:
    mesh = FaceMesh()
    recogniser = DlibResnet()
    files = pack_files("embedded")
    facts = {
        "name": "embedded",
        "detector": "mediapipe_blazeface",
        "recognisers": [recogniser.name],
        "detection": {"threshold": MIN_DETECTION, "passes": [{"padding": 0.25, "input_px": None}]},
        "files": {n: file_sha256(path) for n, path in files.items() if n != DLIB} | {DLIB: recogniser.sha256},
    }
    return FacePack("embedded", lambda image: [(d, None) for d in mesh.detect(image)], (recogniser,), mesh, facts)


def _insightface(folder: Path, name: str) -> FacePack:
    from insightface.app import FaceAnalysis

    from sdaug.recognition.arcface import ArcFace

    models = _models(folder)
    analysis = FaceAnalysis(
        name=str(folder), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
    )
    if "recognition" not in analysis.models:
        raise PackError(f"face pack folder {folder} holds no recogniser, only {', '.join(m.name for m in models)}")
    analysis.prepare(ctx_id=-1, det_thresh=MIN_DETECTION, det_size=(640, 640))

    detector: Any = analysis.det_model

    def detect(image: np.ndarray) -> list[tuple[Detection, np.ndarray | None]]:
        found = {}
        for share, side in _SCALES:
            canvas, pad = padded(image, share)
            boxes, points = detector.detect(np.ascontiguousarray(canvas[..., ::-1]), input_size=(side, side))
            for row, five in zip(boxes, points, strict=True):
                x0, y0, x1, y1, score = (float(v) for v in row)
                found[Detection((x0 - pad, y0 - pad, x1 - pad, y1 - pad), score)] = five - pad
        return [(detection, found[detection]) for detection in distinct(list(found))]

    own = ArcFace(analysis.models["recognition"])
    held_out = DlibResnet()
    facts = {
        "name": name,
        "detector": "insightface_scrfd",
        "recognisers": [own.name, held_out.name],
        "detection": {"threshold": MIN_DETECTION, "passes": [{"padding": p, "input_px": s} for p, s in _SCALES]},
        "files": {m.name: file_sha256(m) for m in models} | {held_out.name: held_out.sha256},
    }
    return FacePack(name, detect, (own, held_out), FaceMesh(), facts)
