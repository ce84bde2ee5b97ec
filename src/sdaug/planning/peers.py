"""What a user would write instead: diffusers' ControlNet pipeline, an angle a call. Predicted; `sdaug bench pipeline`
measures the second of them beside ours."""

import math
from dataclasses import dataclass, replace
from typing import Any

from sdaug.costmodel.call import Call
from sdaug.costmodel.device import Device
from sdaug.costmodel.figures import Interval
from sdaug.costmodel.networks import Variant
from sdaug.costmodel.parts import Dtype
from sdaug.costmodel.predict import Machine, interval_json, predict
from sdaug.costmodel.roofline import UNCERTAIN, moved
from sdaug.planning.plan import Planned
from sdaug.planning.settings import FIVE


@dataclass(frozen=True)
class Peer:
    """call: of five angles; five: its seconds."""

    name: str
    machine: Machine
    call: Call
    five: Interval

    def ratio(self, ours: Planned | None) -> Interval | None:
        """ours / theirs, of what is predicted; None without ours.

        Each figure of a device is moved on both sides at once, so that what is wrong with both alike cancels. Of a
        processor's calibration nobody knows how much does: both intervals count, as if independent.
        """
        if ours is None or ours.five is None:
            return None
        mine, theirs = ours.five.seconds, self.five
        value = mine.predicted / theirs.predicted
        if isinstance(self.machine, Device):
            low, high = ([self._moved(ours, what, end) / value for what in UNCERTAIN] for end in ("low", "high"))
            moves = [sorted(pair) for pair in zip(low, high, strict=True)]
            below, above = [min(1.0, least) for least, _ in moves], [max(1.0, most) for _, most in moves]
        else:
            below = [mine.low / mine.predicted, theirs.predicted / theirs.high]
            above = [mine.high / mine.predicted, theirs.predicted / theirs.low]
        shorter, longer = (math.exp(math.hypot(*map(math.log, factors))) for factors in (below, above))
        return Interval(value, value / shorter, value * longer)

    def _moved(self, ours: Planned, what: str, end: Any) -> float:
        assert ours.calls is not None and isinstance(self.machine, Device)
        machine, calls = moved(self.machine, what, end), ours.calls
        mine = predict(calls.five, machine, calls.runtime, int8=calls.int8).seconds.predicted
        return mine / predict(self.call, machine).seconds.predicted

    def report(self, ours: Planned | None) -> dict[str, Any]:
        """JSON-able."""
        ratio = self.ratio(ours)
        beside = None if ratio is None else interval_json(ratio)
        return {"name": self.name, "five_angles_s": interval_json(self.five), "ratio": beside}


def predicted_peers(machine: Machine, half: Dtype) -> tuple[Peer, ...]:
    """With guidance and ControlNet on every step, its hint made anew each time, two prompts encoded at each call."""

    def call(steps: int) -> Call:
        return Call(
            images=FIVE, unet_guided=steps, controlnet_guided=steps, hint="every", source=False, prompts=2 * FIVE,
            dtype=half,
        )  # fmt: skip

    lcm = Call(images=FIVE, unet=4, controlnet=4, hint="every", source=False, prompts=FIVE, dtype=half)
    calls = {
        "diffusers, 50 steps": call(50),
        "diffusers, 20 steps": call(20),
        "diffusers, 20 steps, enable_attention_slicing": replace(call(20), variant=Variant(attention_slice="auto")),
        "diffusers, LCM LoRA, 4 steps": lcm,
    }
    return tuple(Peer(name, machine, one, predict(one, machine).seconds) for name, one in calls.items())
