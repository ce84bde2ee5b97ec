"""What `sdaug bench pipeline` measured, added up to five angles each, and the report of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sdaug.bench.counted import STOCK, counted_peaks, counted_ratios, recipe_evaluations
from sdaug.bench.forwards import Forwards
from sdaug.bench.peers import PEERS, TIMED_STEPS, Peer, peer_seconds, step_seconds
from sdaug.measure.clock import Ratio, around_median, paired_ratio
from sdaug.recipes import RECIPES

ANGLES = 5
RECOMMENDED = {"ratio_recommended_5": "quick", "ratio_recommended_10": "balanced"}
RATIOS = {"ratio_same_settings": "same_settings", **RECOMMENDED}
"""Of which variant to stock each ratio is."""


@dataclass(frozen=True)
class Batches:
    """Images that our calls make at once. The baseline makes one."""

    same_settings: int
    quick: int


@dataclass(frozen=True, eq=False)
class Picture:
    """levels: (S, S, 3) uint8. decoded: (3, S, S) float tensor that they were rounded from, about -1..1."""

    levels: np.ndarray
    decoded: Any


@dataclass(frozen=True)
class PipelineBench:
    """rounds: for each, what a call cost, by variant, peers included. measured_steps: of the baseline's 20; the rest is
    added up from the passes that ran. ratios: ours / stock, for the same five angles. difference: of our picture and
    stock's at the same settings, the largest, in levels of 255; decoded_difference: the same before rounding, pixels
    about -1..1. measured_peaks: bytes by variant and meter. floors: seconds by variant, None where not known. before:
    seconds of importing, loading, and of each variant's first call, which compiles. board: what the device told during
    the rounds. provenance: of the code and the machine, at the start. wall_s: seconds since, everything included."""

    rounds: tuple[dict[str, Forwards], ...]
    measured_steps: int
    batches: Batches
    ratios: dict[str, Ratio]
    overhead: tuple[float, ...]
    difference: int
    decoded_difference: float
    measured_peaks: dict[str, dict[str, int | None]]
    floors: dict[str, float | None]
    before: dict[str, Any]
    board: dict[str, Any]
    facts: dict[str, Any]
    provenance: dict[str, Any]
    wall_s: float

    def report(self) -> dict[str, Any]:
        """The report of `sdaug bench pipeline`, JSON-able."""
        five = [five_angles(one, self.measured_steps, self.batches) for one in self.rounds]
        peers = [peer_seconds(one, self.measured_steps, ANGLES) for one in self.rounds]
        seconds = {name: spread([one[name] for one in five]) for name in five[0]}
        return {
            "schema": "sdaug.bench.pipeline/4",
            **self.provenance,
            "wall_s": self.wall_s,
            **{name: asdict(ratio) | {"pairs": _pairs(five, RATIOS[name])} for name, ratio in self.ratios.items()},
            "overhead_fraction": spread(self.overhead),
            "peak_gb": counted_peaks(),
            "baseline": {
                "pipeline": "StableDiffusionControlNetImg2ImgPipeline, an image a call",
                "settings": STOCK.model_dump(),
                "five_angles_s": seconds.pop("stock"),
            },
            "five_angles_s": seconds,
            "peers": {name: _beside(peer, [one[name] for one in peers], five) for name, peer in PEERS.items()},
            "counted_ratio": counted_ratios(),
            "stages_s": {name: _stages([one[name] for one in self.rounds]) for name in self.rounds[0]},
            "method": self._method(),
            "batch": asdict(self.batches) | {"stock": 1},
            "largest_difference_of_255": self.difference,
            "largest_difference_before_rounding": {"value": self.decoded_difference, "pixels": "-1 to 1"},
            "measured_peak_bytes": self.measured_peaks,
            "floor_s": self.floors,
            "before_s": self.before,
            "board": self.board,
            "model_id": self.facts["model_id"],
            "sha256": self.facts["sha256"],
            "levers": self.facts["levers"],
            "levers_skipped": self.facts["levers_skipped"],
            "dtype": self.facts["dtype"],
            "recipes": RECIPES,
        }

    def _method(self) -> str:
        steps = STOCK.num_inference_steps
        missing = ", the others added at the mean cost of those" if self.measured_steps < steps else ""
        return (
            f"{self.measured_steps} of the baseline's {steps} steps were run{missing}; 'balanced' is 'quick' with its "
            f"further passes added; five angles are {ANGLES} times an image of the batch that was measured. Ratios are "
            f"ours / stock, median of {len(self.rounds)} pairs run in turn; low and high are by rank and hold the true "
            f"median with a chance of {around_median(self.overhead).coverage:.1%}. Peers are stock's pipeline too: "
            f"{TIMED_STEPS} of their steps were run, the others added likewise"
        )


def _beside(peer: Peer, seconds: Sequence[float], ours: Sequence[dict[str, float]]) -> dict[str, Any]:
    """A peer's seconds for five angles, and what share of them our recipes take. seconds, ours: by round."""
    shares = {}
    for recipe in RECOMMENDED.values():
        own = [one[recipe] for one in ours]
        pairs = [a / b for a, b in zip(own, seconds, strict=True)]
        shares[recipe] = asdict(paired_ratio(own, seconds)) | {"pairs": pairs}
    return {"what": peer.what, "five_angles_s": spread(seconds), "ratio": shares}


def _pairs(five: Sequence[dict[str, float]], variant: str) -> list[float]:
    """The variant's time to stock's, by round."""
    return [one[variant] / one["stock"] for one in five]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The median and the interval of it, as `around_median`; the least, the most and all values by round."""
    around = {"value": float(np.median(values))} | asdict(around_median(values))
    return around | {"least": min(values), "most": max(values), "values": list(values)}


def _stages(calls: Sequence[Forwards]) -> dict[str, dict[str, Any]]:
    """Seconds of every pass, by stage, in order through all the calls; their mean and number."""
    names = dict.fromkeys(forward.stage for call in calls for forward in call.passes)
    passes = {name: [seconds for call in calls for seconds in call.of(name)] for name in names}
    return {
        name: {"mean": float(np.mean(values)), "n": len(values), "values": values} for name, values in passes.items()
    }


def five_angles(measured: dict[str, Forwards], steps: int, batches: Batches) -> dict[str, float]:
    """Seconds for five angles, by variant, each step beyond those that ran at a step's mean cost."""
    left = STOCK.num_inference_steps - steps
    whole = {name: measured[name].seconds + left * step_seconds(measured[name]) for name in ("stock", "same_settings")}
    quick = measured["quick"]
    few, more = recipe_evaluations("quick"), recipe_evaluations("balanced")
    unet, controlnet = (float(np.mean(quick.of(stage))) for stage in ("unet", "controlnet"))
    balanced = (more.unet - few.unet) * unet + (more.controlnet - few.controlnet) * controlnet
    whole |= {"quick": quick.seconds, "balanced": quick.seconds + balanced}
    images = {"stock": 1, "same_settings": batches.same_settings, "quick": batches.quick, "balanced": batches.quick}
    return {name: ANGLES * seconds / images[name] for name, seconds in whole.items()}
