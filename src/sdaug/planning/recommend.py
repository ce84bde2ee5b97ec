"""Which planned setting is recommended, and why. Time and memory are all a plan knows: what a setting does to the
pictures is for a sweep to measure."""

from collections.abc import Sequence
from dataclasses import dataclass

from sdaug.costmodel.device import Runtime
from sdaug.planning.plan import Planned

BUILT: tuple[Runtime, ...] = ("compiled", "engine")
"""What has to be built on the device first, in minutes."""


@dataclass(frozen=True)
class Recommendation:
    """name: None where nothing fits. why: in a sentence."""

    name: str | None
    why: str


def recommend(planned: Sequence[Planned], budget_gb: float, target_s: float | None = None) -> Recommendation:
    """The fastest for five angles of those that fit, the smaller of equals; with a target, the one that gives up least.

    target_s: seconds an image. Of the settings that are predicted to keep it the one with the most arithmetic is taken:
    what a setting leaves out is what makes it fast, and a target that is kept needs no more left out. Only where every
    part of a setting is modelled can it be recommended; one that needs a compiler or an engine built on the device, or
    whose memory is not counted whole, only where nothing else does.
    """
    modelled = [one for one in planned if one.fits and one.calls is not None and not one.calls.not_modelled]
    if not modelled:
        return Recommendation(None, f"no setting that is modelled whole fits {budget_gb:g} GB")
    ready = [
        one
        for one in modelled
        if one.calls is not None and one.calls.runtime not in BUILT and not one.memory_not_counted
    ]
    enough = [one for one in ready if target_s is None or _one(one) <= target_s]
    fitting = ready if enough else modelled
    if target_s is None:
        best = min(fitting, key=lambda one: (round(_five(one), 3), one.allocated_gb or 0.0))
        why = f"the fastest for five angles of {len(fitting)} settings that fit {budget_gb:g} GB"
        return Recommendation(best.asked.name, f"{why}: {_words(best)}")
    keeping = [one for one in fitting if _one(one) <= target_s]
    if not keeping:
        best = min(fitting, key=_one)
        why = f"none keeps {target_s:g} s an image; the fastest that fits {budget_gb:g} GB"
        return Recommendation(best.asked.name, f"{why}: {_words(best)}")
    best = max(keeping, key=lambda one: (one.one.flops if one.one else 0, -_five(one)))
    why = f"gives up least of {len(keeping)} settings that keep {target_s:g} s an image and fit {budget_gb:g} GB"
    return Recommendation(best.asked.name, f"{why}: {_words(best)}")


def _one(planned: Planned) -> float:
    return planned.one.seconds.predicted if planned.one else float("inf")


def _five(planned: Planned) -> float:
    return planned.five.seconds.predicted if planned.five else float("inf")


def _words(planned: Planned) -> str:
    return f"predicted {_one(planned):.3g} s an image, {_five(planned):.3g} s for five, {planned.allocated_gb:.2f} GB"
