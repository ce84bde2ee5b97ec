"""What a record says beside its angles: of the source photo, of the generator; and the one warning of a run."""

import copy
import logging
from typing import Any

from sdaug.config import GenerationSettings, RunSettings
from sdaug.diffusion.obtain import Obtained
from sdaug.gate import Gate
from sdaug.types import AngleResult, Face, Photo

log = logging.getLogger("sdaug")


def source_facts(photo: Photo, face: Face, gate: Gate) -> dict[str, Any]:
    """Of the photo and of the face in it that was turned."""
    height, width = photo.pixels.shape[:2]
    measures = {**gate.measures, **gate.reported}
    return {
        "sha256": photo.sha256,
        "width_px": width,
        "height_px": height,
        "face_box": [round(v, 1) for v in face.box],
        "confidence": face.confidence,
        "pose": face.pose,
        "quality": {name: measure.measure(photo.pixels, face) for name, measure in measures.items()},
    }


def generator_facts(
    settings: RunSettings, generation: GenerationSettings, diffusion: Obtained | None
) -> dict[str, Any]:
    """Of what made the angles, as it is now: steps down that a later call takes are none of this record's.

    diffusion: None where it was not asked for.
    """
    facts: dict[str, Any] = {"backend": settings.backend, "settings": generation.model_dump()}
    if diffusion is None:
        return facts
    if diffusion.fit is not None:
        facts["budget"] = diffusion.fit.facts
    if diffusion.generator is not None:
        facts["model"] = copy.deepcopy(diffusion.generator.facts)
    else:
        facts["model"] = {"model_id": settings.model.model_id, "loaded": False, "why_not": diffusion.message}
        facts["degraded"] = [reason.value for reason in diffusion.unavailable]
    return facts


def report(angles: list[AngleResult], diffusion: Obtained | None) -> None:
    """One warning a run for the angles that had to leave diffusion; why it was not there at all was said at loading."""
    for angle in angles:
        log.info("angle %d: %s in %.2f s", angle.index, angle.rung, angle.latency_s)
    unavailable = () if diffusion is None else diffusion.unavailable
    left = [angle for angle in angles if angle.degraded and angle.degraded != unavailable]
    if left:
        reasons = sorted({reason.value for angle in left for reason in angle.degraded})
        random = diffusion is not None and diffusion.generator is not None and diffusion.generator.facts["random"]
        why = " (the weights are random: its pictures are noise)" if random else ""
        log.warning("%d of %d angles left diffusion: %s%s", len(left), len(angles), ", ".join(reasons), why)
