"""The gate: is this image good enough, at the pose that was asked for, of the person it was made from?"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sdaug import plugins
from sdaug.bands import Band, find_band
from sdaug.config import GateSettings
from sdaug.measure.stages import stage
from sdaug.mission_rule import mission_reasons, raw_values
from sdaug.packs import FacePack, clear
from sdaug.quality import AbstractQualityMeasure
from sdaug.types import AngleResult, Face, Judgement, Pose, QualityScore, Reason

DISTINCT_DEG = 10.0
"""Images asked for at poses this far apart must not be one image."""


@dataclass(frozen=True)
class Sight:
    """What can be seen in an image without knowing what was asked for. mission: raw values its rule compares."""

    face: Face
    quality: Mapping[str, QualityScore]
    mission: Mapping[str, float]
    vectors: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Gate:
    """Judges images against one source.

    measures: the quality measures that refuse; reported: those only recorded. reference: the source's vector per
    recogniser name; source_pose: its pose. band: of the pack's own recogniser, None where nobody measured one.
    source_quality: the source's scores, for no view can be sharper or better lit than it. cohort: (N, dim) vectors of
    other people per recogniser name. accepted: pose asked for and own recogniser's vector of each image that was kept
    so far.
    """

    pack: FacePack
    settings: GateSettings
    measures: Mapping[str, AbstractQualityMeasure]
    reported: Mapping[str, AbstractQualityMeasure]
    reference: Mapping[str, np.ndarray]
    source_pose: Pose
    band: Band | None = None
    source_quality: Mapping[str, QualityScore] = field(default_factory=dict)
    cohort: Mapping[str, np.ndarray] = field(default_factory=dict)
    accepted: tuple[tuple[Pose, np.ndarray], ...] = ()

    def judge(self, image: np.ndarray, requested: Pose) -> Judgement:
        """Everything the gate can measure on `image` (H, W, 3) uint8 RGB, and every reason to refuse it."""
        return self.decide(self.look(image), requested)

    def look(self, image: np.ndarray) -> Sight | None:
        """The largest face in `image` (H, W, 3) uint8 RGB and all that is measured on it; None without a face."""
        seen = self.see(image)
        return None if seen is None else replace(seen, vectors=embeddings(self.pack, image, seen.face))

    def see(self, image: np.ndarray) -> Sight | None:
        """`look`, without vectors."""
        with stage("landmarks"):
            faces = self.pack.faces(image)
        if not faces:
            return None
        face = max(faces, key=lambda f: f.area)
        others = [other for other in clear(faces) if other is not face]
        measures = {**self.measures, **self.reported}
        with stage("quality"):
            quality = {name: measure.measure(image, face, others) for name, measure in measures.items()}
            raw = raw_values(image, face, others, quality)
        return Sight(face, quality, raw, {})

    def decide(self, sight: Sight | None, requested: Pose) -> Judgement:
        """The judgement on what was seen, had it been asked for at `requested`."""
        if sight is None:
            nothing = (Reason.FACE_NOT_FOUND,)
            return Judgement(False, nothing, None, {}, {}, by_rule={"sdaug": nothing, "mission": nothing})
        own = self.pack.recognisers[0].name
        similarity = self._similarity(sight.vectors)
        reasons = [
            measure.fault(sight.quality[name], self.source_quality.get(name)) for name, measure in self.measures.items()
        ]
        pose = sight.face.pose
        reasons.append(pose_refusal(pose, requested, self.settings.max_pose_error_deg))
        checks = {"pose_error_deg": None if pose is None else pose_error_deg(pose, requested)}
        missing: list[str] = []
        for refusals, figures, unknown in (
            self._person(similarity[own], requested),
            self._cohort(similarity[own], sight.vectors[own]),
            self._distinct(similarity[own], sight.vectors[own], requested),
        ):
            reasons += refusals
            checks |= figures
            missing += unknown
        by_rule = {
            "sdaug": tuple(dict.fromkeys(r for r in reasons if r is not None)),
            "mission": mission_reasons(sight.mission, similarity[own]),
        }
        kept = by_rule[self.settings.rule]
        return Judgement(
            not kept,
            kept,
            sight.face.pose,
            similarity,
            dict(sight.quality),
            tuple(missing),
            checks,
            by_rule,
            dict(sight.vectors),
        )

    def including(self, angle: AngleResult) -> "Gate":
        """This gate, which from now on refuses copies of the angle's image, if that was accepted."""
        if not angle.accepted:
            return self
        own = self.pack.recognisers[0].name
        return replace(self, accepted=(*self.accepted, (angle.requested, angle.judgement.vectors[own])))

    def similarity(self, image: np.ndarray, face: Face) -> dict[str, float]:
        """Similarity of `face` in `image` to the source, per recogniser, the pack's own first."""
        return self._similarity(embeddings(self.pack, image, face))

    def _similarity(self, vectors: Mapping[str, np.ndarray]) -> dict[str, float]:
        return {r.name: r.similarity(self.reference[r.name], vectors[r.name]) for r in self.pack.recognisers}

    def _person(self, similarity: float, requested: Pose) -> "Check":
        """As alike as a true photo at that pose, and above the floor."""
        own = self.pack.recognisers[0].name
        figures: dict[str, float | None] = {"band_low": None, "band_high": None}
        missing = [] if own in self.settings.min_similarity else [f"similarity.{own}"]
        low, high = self.settings.min_similarity.get(own, -np.inf), np.inf
        if self.band is None:
            missing.append(f"similarity_band.{own}")
        else:
            turned = apart(requested, self.source_pose)
            # From a turned source the last degrees to a profile cost more than the first from a frontal one.
            figures["band_low"], _ = self.band.at(_farther(turned, requested))
            _, figures["band_high"] = self.band.at(turned)
            low, high = max(low, figures["band_low"]), figures["band_high"]
        reason = Reason.LOW_SIMILARITY if similarity < low else Reason.TOO_SIMILAR if similarity > high else None
        return [reason], figures, missing

    def _cohort(self, similarity: float, vector: np.ndarray) -> "Check":
        """Closer to the source than to anyone else."""
        own = self.pack.recognisers[0]
        others = self.cohort.get(own.name, ())
        if not len(others):
            return [], {"cohort_best": None}, ["cohort"]
        best = max(own.similarity(other, vector) for other in others)
        return [Reason.CLOSER_TO_ANOTHER if best >= similarity else None], {"cohort_best": best}, []

    def _distinct(self, similarity: float, vector: np.ndarray, requested: Pose) -> "Check":
        """Not a copy of the source or of an image that was kept, where another pose was asked for."""
        own = self.pack.recognisers[0]
        scores = [similarity] if largest_angle(apart(requested, self.source_pose)) >= DISTINCT_DEG else []
        scores += [
            own.similarity(known, vector)
            for pose, known in self.accepted
            if largest_angle(apart(requested, pose)) >= DISTINCT_DEG
        ]
        best = max(scores, default=None)
        if self.band is None:
            return [], {"copy_best": best}, [f"near_duplicate.{own.name}"]
        copied = best is not None and best >= self.band.near_duplicate
        return [Reason.NEAR_DUPLICATE if copied else None], {"copy_best": best}, []


Check = tuple[list[Reason | None], dict[str, float | None], list[str]]
"""Reasons to refuse, figures compared, and checks that could not be made."""


def open_gate(pack: FacePack, settings: GateSettings, image: np.ndarray, face: Face) -> Gate:
    """The gate for images made from `face` in the source `image`, without a cohort.

    Raises PluginError on an unknown measure, ValueError for a face whose pose cannot be read.
    """
    if face.pose is None:
        raise ValueError("the source's pose cannot be read; expected a face whose landmarks are known")
    measures = load_measures(settings.measures)
    return Gate(
        pack,
        settings,
        measures,
        load_measures(settings.reported),
        embeddings(pack, image, face),
        face.pose,
        find_band(pack.recognisers[0].sha256),
        {name: measure.measure(image, face) for name, measure in measures.items()},
    )


def embeddings(pack: FacePack, image: np.ndarray, face: Face) -> dict[str, np.ndarray]:
    """The vector (D,) of `face` in `image` (H, W, 3) uint8 RGB by each recogniser of the pack."""
    with stage("embedding"):
        return {r.name: r.embed(image, face) for r in pack.recognisers}


def load_measures(chosen: Mapping[str, Mapping[str, object]]) -> dict[str, AbstractQualityMeasure]:
    """Quality measures by name, each with its options; raises PluginError on an unknown name or option."""
    return {name: plugins.load("sdaug.quality", name, dict(options)) for name, options in chosen.items()}


def apart(a: Pose, b: Pose) -> Pose:
    """The turn from `b` to `a`, axis by axis; roll is corrected by every recogniser's alignment."""
    return Pose(a.yaw_deg - b.yaw_deg, a.pitch_deg - b.pitch_deg)


def _farther(a: Pose, b: Pose) -> Pose:
    """The larger angle of two turns, axis by axis, without its sign."""
    return Pose(max(abs(a.yaw_deg), abs(b.yaw_deg)), max(abs(a.pitch_deg), abs(b.pitch_deg)))


def largest_angle(turn: Pose) -> float:
    """The larger of |yaw| and |pitch|, degrees."""
    return max(abs(turn.yaw_deg), abs(turn.pitch_deg))


def pose_error_deg(measured: Pose, requested: Pose) -> float:
    """The larger of the yaw and the pitch difference, degrees; roll is corrected by every recogniser's alignment."""
    return largest_angle(apart(measured, requested))


def pose_refusal(measured: Pose | None, requested: Pose, limit_deg: float) -> Reason | None:
    """Why a measured pose is refused, or None."""
    if measured is None:
        return Reason.POSE_UNREADABLE
    return Reason.POSE_ERROR if pose_error_deg(measured, requested) > limit_deg else None


def overall(quality: Mapping[str, QualityScore]) -> float:
    """One figure for an image, 0..1: its weakest measure. 0.7 is where the first threshold is touched."""
    return min((score.scalar for score in quality.values()), default=0.0)
