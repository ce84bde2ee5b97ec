"""Records as JSON: the manifest of `augment`, and the angles inside every sweep cell."""

import json
import os
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from sdaug.measure.digest import array_sha256
from sdaug.measure.stages import stage_report
from sdaug.types import AngleResult, Augmentation, Judgement, Pose, QualityScore

SCHEMA = "sdaug.augment/1"


def pose_json(pose: Pose | None) -> dict[str, float] | None:
    """A pose in degrees, two decimals."""
    return None if pose is None else {k: round(v, 2) for k, v in asdict(pose).items()}


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """What the gate measured and decided."""
    return {
        "measured": pose_json(judgement.measured),
        "similarity": {name: round(value, 6) for name, value in judgement.similarity.items()},
        "quality": {name: asdict(score) for name, score in judgement.quality.items()},
        "accepted": judgement.accepted,
        "reasons": [reason.value for reason in judgement.reasons],
        "not_evaluated": list(judgement.not_evaluated),
        "checks": {k: None if v is None else round(v, 6) for k, v in judgement.checks.items()},
        "rules": {name: [reason.value for reason in reasons] for name, reasons in judgement.by_rule.items()},
    }


def angle_json(angle: AngleResult, image: str | None) -> dict[str, Any]:
    """One angle; `image` is the file's name, None where it was refused."""
    raw = None
    if angle.raw is not None:
        raw = judgement_json(angle.raw.judgement)
        raw["similarity_at_requested_landmarks"] = angle.raw.similarity
        raw["pixels_sha256"] = array_sha256(angle.raw.image)
    return {
        "index": angle.index,
        "image": image,
        "requested": {"yaw_deg": angle.requested.yaw_deg, "pitch_deg": angle.requested.pitch_deg},
        "rung": angle.rung,
        "degraded": [reason.value for reason in angle.degraded],
        "latency_s": round(angle.latency_s, 6),
        "raw": raw,
        **judgement_json(angle.judgement),
    }


def acceptance(record: Augmentation) -> dict[str, int]:
    """How many images were kept, and of how many final images each rule would have said yes, whichever rule decided.

    A rule sees only images in which there is a face; the others count as refused.
    """
    passed = {
        f"{rule}_rule": sum(angle.judgement.by_rule.get(rule) == () for angle in record.angles)
        for rule in ("sdaug", "mission")
    }
    return {"angles": len(record.angles), "accepted": len(record.accepted), **passed}


def manifest(record: Augmentation, images: dict[int, str]) -> dict[str, Any]:
    """The manifest of an augmentation; `images`: file name per angle index, for the accepted ones."""
    return {
        "schema": SCHEMA,
        "source": plain(record.source),
        "pack": plain(record.pack),
        "generator": plain(record.generator),
        "angles": [angle_json(angle, images.get(angle.index)) for angle in record.angles],
        "acceptance": acceptance(record),
        "timings": record.timings,
        "stages": stage_report(record.stages),
        "passes": record.passes,
        "memory": record.memory,
        "environment": record.environment,
    }


def plain(value: Any) -> Any:
    """`value` with dataclasses, tuples and poses turned into what JSON knows."""
    if isinstance(value, Pose):
        return pose_json(value)
    if isinstance(value, QualityScore):
        return asdict(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return value


def write_json(path: Path, content: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never half of it."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
