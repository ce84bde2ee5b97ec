"""Views of a person made by the augmentor, as they go over the line: what a preview shows and an enrolment takes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from sdaug.augmentor import GenerativeAugmentor
from sdaug.cohort import Cohort
from sdaug.enrol import generated
from sdaug.enrolment.bundle import BundleSample
from sdaug.enrolment.marking import decode_png, encode_png
from sdaug.gate import load_measures, overall
from sdaug.service.poses import POSES
from sdaug.service.work.faults import faults
from sdaug.types import Augmentation, Photo, Pose, QualityScore

Step = Callable[..., None]


def make_views(
    augmentor: GenerativeAugmentor, photo: Photo, num_angles: int, cohort: Cohort | None, step: Step
) -> Augmentation:
    """The augmentor's record for a photo of one person, with a word before each angle."""
    step("initializing", text="Initializing Stable Diffusion...")
    augmentor.load()

    def begun(index: int) -> None:
        text = f"Generating angle {index + 1}/{num_angles}... ({POSES[index]})"
        step("angle", text=text, angle=index + 1, of=num_angles, pose=POSES[index])

    def progress(done: int, of: int) -> None:
        if done < of:
            begun(done)

    begun(0)
    record = augmentor.augment(photo, num_angles=num_angles, cohort=cohort, progress=progress)
    step("assessing", text="Assessing quality...")
    return record


def cohort_of(augmentor: GenerativeAugmentor, task: dict[str, Any], blobs: Sequence[bytes]) -> Cohort | None:
    """The `cohort` rows of other people's vectors in a task's last blob."""
    if not task["cohort"]:
        return None
    own = augmentor.pack.recognisers[0]
    return Cohort({own.name: np.frombuffer(blobs[-1], np.float32).reshape(task["cohort"], own.dim)})


def view_samples(augmentor: GenerativeAugmentor, photo: Photo, record: Augmentation) -> list[BundleSample]:
    """The record's angles as samples; one that the mission's `assess_quality > 0.7` refuses is refused here.

    The gate alone lets a view be as dim or as blurred as its photo.
    """
    measures = load_measures(augmentor.settings.gate.measures)
    samples = []
    for angle in record.angles:
        sample = generated(photo, angle)
        reasons = faults(measures, sample.quality)
        if sample.accepted and reasons:
            sample = replace(sample, accepted=False, image=None, reasons=reasons, rung="refused")
        samples.append(sample)
    return samples


def quality_of(augmentor: GenerativeAugmentor, sample: BundleSample) -> float:
    """`assess_quality` of a sample, 0..1, from what the gate measured: its weakest measure."""
    names = augmentor.settings.gate.measures
    return overall({name: score for name, score in sample.quality.items() if name in names})


def degradation(samples: Sequence[BundleSample]) -> dict[str, Any] | None:
    """What became of the views if any of them left diffusion, None if none did."""
    left = [s for s in samples if s.rung != "diffusion"]
    if not left:
        return None
    reasons = list(dict.fromkeys(reason for s in left for reason in (*s.degraded, *s.reasons)))
    rungs = [str(s.rung) for s in samples]
    return {
        "reason": reasons[0] if reasons else "not_configured",
        "reasons": reasons,
        "by_rung": {rung: rungs.count(rung) for rung in dict.fromkeys(rungs)},
    }


def to_line(sample: BundleSample) -> tuple[dict[str, Any], bytes | None]:
    """A sample as JSON and the PNG of its pixels (None if refused)."""
    facts = {k: v for k, v in asdict(sample).items() if k != "image"}
    image = None if sample.image is None else encode_png(sample.image, synthetic=False, provenance=None)
    return facts, image


def from_line(facts: dict[str, Any], image: bytes | None) -> BundleSample:
    """What `to_line` was given."""
    poses = {k: None if facts[k] is None else Pose(**facts[k]) for k in ("requested", "measured")}
    quality = {name: QualityScore(**score) for name, score in facts["quality"].items()}
    texts = {k: tuple(facts[k]) for k in ("reasons", "degraded", "not_evaluated")}
    rules = {rule: tuple(reasons) for rule, reasons in facts["rules"].items()}
    pixels = None if image is None else decode_png(image)[0]
    return BundleSample(**{**facts, **poses, **texts, "rules": rules, "quality": quality, "image": pixels})
