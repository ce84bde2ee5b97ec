"""The gate: is this image good enough, at the pose that was asked for, and of the person it was made from?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdaug import plugins
from sdaug.config import GateSettings
from sdaug.packs import FacePack
from sdaug.quality import AbstractQualityMeasure
from sdaug.types import Face, Judgement, Pose, QualityScore, Reason


@dataclass(frozen=True)
class Gate:
    """Judges images against one source. `reference`: the source's vector per recogniser name."""

    pack: FacePack
    settings: GateSettings
    measures: Mapping[str, AbstractQualityMeasure]
    reference: Mapping[str, np.ndarray]

    def judge(self, image: np.ndarray, requested: Pose) -> Judgement:
        """Everything the gate can measure on `image` (H, W, 3) uint8 RGB, and every reason to refuse it."""
        faces = self.pack.faces(image)
        if not faces:
            return Judgement(False, (Reason.FACE_NOT_FOUND,), None, {}, {})
        face = max(faces, key=area)
        quality = {name: measure.measure(image, face) for name, measure in self.measures.items()}
        reasons = [self.measures[name].refusal(score.raw) for name, score in quality.items()]
        reasons.append(pose_refusal(face.pose, requested, self.settings.max_pose_error_deg))
        similarity = self.similarity(image, face)
        missing = []
        own = self.pack.recognisers[0].name
        if own not in self.settings.min_similarity:
            missing.append(f"similarity.{own}")
        elif similarity[own] < self.settings.min_similarity[own]:
            reasons.append(Reason.LOW_SIMILARITY)
        kept = tuple(dict.fromkeys(r for r in reasons if r is not None))
        return Judgement(not kept, kept, face.pose, similarity, quality, tuple(missing))

    def similarity(self, image: np.ndarray, face: Face) -> dict[str, float]:
        """Similarity of `face` in `image` to the source, per recogniser, the pack's own first."""
        return {r.name: r.similarity(self.reference[r.name], r.embed(image, face)) for r in self.pack.recognisers}


def open_gate(pack: FacePack, settings: GateSettings, image: np.ndarray, face: Face) -> Gate:
    """The gate for images made from `face` in the source `image`; raises PluginError on an unknown measure."""
    reference = {r.name: r.embed(image, face) for r in pack.recognisers}
    return Gate(pack, settings, load_measures(settings), reference)


def load_measures(settings: GateSettings) -> dict[str, AbstractQualityMeasure]:
    """The configured quality measures by name; raises PluginError on an unknown name or option."""
    return {name: plugins.load("sdaug.quality", name, options) for name, options in settings.measures.items()}


def area(face: Face) -> float:
    """Area of the face's box, square pixels."""
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def pose_error_deg(measured: Pose, requested: Pose) -> float:
    """The larger of the yaw and the pitch difference, degrees; roll is corrected by every recogniser's alignment."""
    return max(abs(measured.yaw_deg - requested.yaw_deg), abs(measured.pitch_deg - requested.pitch_deg))


def pose_refusal(measured: Pose | None, requested: Pose, limit_deg: float) -> Reason | None:
    """Why a measured pose is refused, or None."""
    if measured is None:
        return Reason.POSE_UNREADABLE
    return Reason.POSE_ERROR if pose_error_deg(measured, requested) > limit_deg else None


def overall(quality: Mapping[str, QualityScore]) -> float:
    """One figure for an image, 0..1: its weakest measure. 0.7 is where the first threshold is touched."""
    return min((score.scalar for score in quality.values()), default=0.0)
