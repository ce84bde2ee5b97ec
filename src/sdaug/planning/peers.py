"""What a user would write instead: diffusers' ControlNet pipeline, an angle a call. Predicted; `sdaug bench pipeline`
measures the same ones beside ours."""

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
    """key: its name in `sdaug bench pipeline`. call: of five angles; five: its seconds."""

    key: str
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
        return {"key": self.key, "name": self.name, "five_angles_s": interval_json(self.five), "ratio": beside}


def predicted_peers(machine: Machine, half: Dtype) -> tuple[Peer, ...]:
    """Image to image as the stock pipeline: photo and prompts encoded at each call, the hint made anew on every step,
    guidance and ControlNet on every step; LCM has no guidance."""
    own = Call(images=FIVE, unet=4, controlnet=4, hint="every", source=True, prompts=FIVE, dtype=half)

    def call(steps: int) -> Call:
        guided = {"unet_guided": steps, "controlnet_guided": steps, "prompts": 2 * FIVE}
        return replace(own, unet=0, controlnet=0, **guided)

    sliced = Variant(attention_slice="auto")
    calls = {
        "steps_50": ("diffusers, 50 steps", call(50)),
        "steps_20": ("diffusers, 20 steps", call(20)),
        "attention_slicing_50": (
            "diffusers, 50 steps, enable_attention_slicing", replace(call(50), variant=sliced),
        ),
        "attention_slicing_20": (
            "diffusers, 20 steps, enable_attention_slicing", replace(call(20), variant=sliced),
        ),
        "lcm_lora_4": ("diffusers, LCM LoRA, 4 steps", own),
    }  # fmt: skip
    return tuple(Peer(key, name, machine, one, predict(one, machine).seconds) for key, (name, one) in calls.items())
