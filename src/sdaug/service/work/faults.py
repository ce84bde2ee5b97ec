"""What the quality measures have against an image by themselves, whatever photo it was made from."""

from collections.abc import Mapping

from sdaug.quality import AbstractQualityMeasure
from sdaug.types import QualityScore


def faults(measures: Mapping[str, AbstractQualityMeasure], quality: Mapping[str, QualityScore]) -> tuple[str, ...]:
    """The reasons, each once, of the `measures` whose score is in `quality`."""
    found = [measure.refusal(quality[name].raw) for name, measure in measures.items() if name in quality]
    return tuple(dict.fromkeys(reason.value for reason in found if reason is not None))


def warning(photo: int, reasons: tuple[str, ...]) -> list[dict[str, object]]:
    """What is told of a photo that is worse than an image that was made of it may be; nothing of one that is not."""
    return [{"photo": photo, "reasons": list(reasons)}] if reasons else []
