"""What flows between the parts: photo, face, pose, view, judgement, record. Numpy only."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import numpy as np

Rung = Literal["diffusion", "diffusion_reduced", "warp", "refused"]
"""What made an image. `diffusion_reduced`: diffusion after a step down a ladder (strength or resources)."""


class Reason(str, Enum):
    """Why a source was refused, an image was refused, or a rung was left. The only list of such words."""

    # the source cannot be used
    UNREADABLE = "unreadable_image"
    UNSUPPORTED = "unsupported_format"
    TOO_LARGE = "image_too_large"
    NO_FACE = "no_face"
    MULTIPLE_FACES = "multiple_faces"
    FACE_TOO_SMALL = "face_too_small"
    EXTREME_POSE = "extreme_source_pose"
    # the gate refused an image
    FACE_NOT_FOUND = "face_not_found"
    LOW_CONFIDENCE = "low_detection_confidence"
    BLURRED = "blurred"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    IMAGE_TOO_SMALL = "image_too_small"
    POSE_UNREADABLE = "pose_unreadable"
    POSE_ERROR = "pose_error"
    LOW_SIMILARITY = "low_similarity"
    TOO_SIMILAR = "too_similar_for_pose"
    NEAR_DUPLICATE = "near_duplicate"
    CLOSER_TO_ANOTHER = "closer_to_another_person"
    SECOND_FACE = "second_face"
    UNDER_EXPOSED = "under_exposed"
    OVER_EXPOSED = "over_exposed"
    LOW_DYNAMIC_RANGE = "low_dynamic_range"
    UNEVEN_LIGHT = "uneven_light"
    UNNATURAL_COLOUR = "unnatural_colour"
    # a person looked at it and said no
    REJECTED_BY_REVIEWER = "rejected_by_reviewer"
    # a rung was left, or something other than what was asked for was used
    WEIGHTS_MISSING = "weights_missing"
    WEIGHTS_INVALID = "weights_invalid"
    OUT_OF_MEMORY = "out_of_memory"
    BUDGET_TOO_SMALL = "budget_too_small"
    NOT_FINITE = "not_finite"
    BLACK_IMAGE = "black_image"
    UNSAFE_IMAGE = "unsafe_image"
    NO_GPU = "no_gpu"
    RANDOM_WEIGHTS = "random_weights"
    FACE_ADAPTER_MISFIT = "face_adapter_misfit"


class PhotoError(ValueError):
    """A source photo that cannot be used. `reason` says why in one word, the message names value and limit."""

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Pose:
    """Head pose in degrees, ISO/IEC 39794-5 signs.

    `yaw_deg > 0`: turned to the subject's own left (the nose moves to the image's right).
    `pitch_deg > 0`: looks down. `roll_deg > 0`: head tilts to the subject's own right shoulder.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float = 0.0


ANGLES: tuple[Pose, ...] = tuple(
    Pose(yaw, pitch)
    for yaw, pitch in (
        (0, 0), (45, 0), (-45, 0), (0, -30), (0, 30),
        (22, 0), (-22, 0), (0, -15), (0, 15), (30, -15),
    )
)  # fmt: skip
"""The poses asked for, in order; `num_angles` takes the first n. The first five are frontal, left, right, up, down."""


@dataclass(frozen=True)
class Photo:
    """A decoded source photo.

    pixels: (H, W, 3) uint8 RGB, upright (EXIF applied). sha256: of the file's bytes, or of an array's pixels.
    """

    pixels: np.ndarray
    sha256: str
    name: str | None = None


@dataclass(frozen=True)
class Face:
    """One face in one image.

    box: (x0, y0, x1, y1) pixels. confidence: the pack's detector, 0..1. five_points: (5, 2) float32 pixels: the eye on
    the image's left, the one on its right, nose tip, mouth corner left, right. landmarks: (478, 3) float32, MediaPipe
    order; x right and y down in pixels, z in pixels growing away from the camera. pose: calibrated estimate. The last
    two are None where the landmark network sees no face (a full profile, say).
    """

    box: tuple[float, float, float, float]
    confidence: float
    five_points: np.ndarray
    landmarks: np.ndarray | None
    pose: Pose | None

    @property
    def area(self) -> float:
        """Of the box, square pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


@dataclass(frozen=True)
class View:
    """The photo's head turned to a pose: what geometry alone can know.

    image: (S, S, 3) uint8 RGB, holes filled without a network. valid: (S, S) float32, 1 = the person's own pixels, well
    sampled; 0 = never seen. hole: (S, S) bool, where something must be invented. landmarks: (478, 3) float32 in this
    image.
    """

    pose: Pose
    image: np.ndarray
    valid: np.ndarray
    hole: np.ndarray
    landmarks: np.ndarray


@dataclass(frozen=True)
class QualityScore:
    """One quality measure: `raw` in the measure's own unit, `scalar` 0..1 (higher is better, 0.7 is the threshold)."""

    raw: float
    scalar: float


@dataclass(frozen=True)
class Judgement:
    """What the gate found in one image. A measurement that could not be made is None or absent, never a number.

    similarity: to the source, by recogniser. checks: figures that the checks compared, by name; None = not measured.
    by_rule: the reasons each rule has, whichever decides. vectors: the image's own, by recogniser; for the checks on
    later images, never written to a record.
    """

    accepted: bool
    reasons: tuple[Reason, ...]
    measured: Pose | None
    similarity: dict[str, float]
    quality: dict[str, QualityScore]
    not_evaluated: tuple[str, ...] = ()
    checks: dict[str, float | None] = field(default_factory=dict)
    by_rule: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class RawOutput:
    """A diffusion image before any ladder step, judged on its own. `similarity` is taken at the requested landmarks,
    so it exists (and differs) even where no face can be detected; `judgement` is the gate's, on detected faces only."""

    image: np.ndarray
    similarity: dict[str, float]
    judgement: Judgement


@dataclass(frozen=True)
class AngleResult:
    """One requested angle: the image that was kept (None if refused), what made it, and how it was judged.

    image: (512, 512, 3) uint8 RGB or None. degraded: why each better rung was left, in order.
    """

    index: int
    requested: Pose
    image: np.ndarray | None
    rung: Rung
    judgement: Judgement
    latency_s: float
    degraded: tuple[Reason, ...] = ()
    raw: RawOutput | None = None

    @property
    def accepted(self) -> bool:
        return self.image is not None


@dataclass(frozen=True)
class Augmentation:
    """The whole record of one `generate` call. `timings` in seconds, `memory` in bytes, each named by its meter.

    stages: seconds of every time that a stage ran, by stage; together no more than `timings["total_s"]`. passes: images
    that each network saw, by network.
    """

    source: dict[str, Any]
    pack: dict[str, Any]
    generator: dict[str, Any]
    angles: tuple[AngleResult, ...]
    timings: dict[str, float]
    memory: dict[str, int | None]
    environment: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)

    @property
    def accepted(self) -> tuple[AngleResult, ...]:
        return tuple(a for a in self.angles if a.accepted)
