"""The mission's own acceptance rule, kept by name: what it would say is on every record, whichever rule decides.

It asks an image to be clear, sharp, light, large and more than 0.8 similar to the input; it does not ask for the pose.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from sdaug.quality import AbstractQualityMeasure
from sdaug.quality.blur import Blur
from sdaug.quality.brightness import Brightness
from sdaug.quality.confidence import Confidence
from sdaug.quality.resolution import Resolution
from sdaug.types import Face, QualityScore, Reason

MEASURES: dict[str, AbstractQualityMeasure] = {
    "confidence": Confidence(above=0.7),
    "blur": Blur(below=0.3),
    "brightness": Brightness(low=50, high=200),
    "resolution": Resolution(at_least_px=512),
}

SIMILARITY = 0.8
"""To the input, by the pack's own recogniser on its own scale (the mission means ArcFace's). Refused at or below."""


def raw_values(
    image: np.ndarray, face: Face, others: Sequence[Face], known: Mapping[str, QualityScore]
) -> dict[str, float]:
    """What the rule's measures read on `image` (H, W, 3) uint8 RGB; `known` readings are not taken twice."""
    return {
        name: known[name].raw if name in known else measure.measure(image, face, others).raw
        for name, measure in MEASURES.items()
    }


def mission_reasons(raw: Mapping[str, float], similarity: float) -> tuple[Reason, ...]:
    """Every reason this rule has to refuse an image.

    >>> good = {"confidence": 0.9, "blur": 0.1, "brightness": 120.0, "resolution": 512.0}
    >>> mission_reasons(good, 0.9), [r.value for r in mission_reasons(good | {"blur": 0.5}, 0.7)]
    ((), ['blurred', 'low_similarity'])
    """
    reasons = [measure.refusal(raw[name]) for name, measure in MEASURES.items()]
    reasons.append(Reason.LOW_SIMILARITY if similarity <= SIMILARITY else None)
    return tuple(reason for reason in reasons if reason is not None)
