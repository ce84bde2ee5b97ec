"""What a user would write instead: diffusers' ControlNet pipeline, an angle a call. Predicted; `sdaug bench pipeline`
measures the second of them beside ours."""

from dataclasses import dataclass, replace
from typing import Any

from sdaug.costmodel.call import Call
from sdaug.costmodel.figures import Interval
from sdaug.costmodel.networks import Variant
from sdaug.costmodel.parts import Dtype
from sdaug.costmodel.predict import Machine, interval_json, predict
from sdaug.planning.plan import Planned
from sdaug.planning.settings import FIVE


@dataclass(frozen=True)
class Peer:
    """five: seconds for five angles."""

    name: str
    five: Interval

    def ratio(self, ours: Planned | None) -> float | None:
        """ours / theirs, of what is predicted; None without ours. What is wrong with the device's figures cancels."""
        return None if ours is None or ours.five is None else ours.five.seconds.predicted / self.five.predicted

    def report(self, ours: Planned | None) -> dict[str, Any]:
        """JSON-able."""
        return {"name": self.name, "five_angles_s": interval_json(self.five), "ratio": self.ratio(ours)}


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
    return tuple(Peer(name, predict(one, machine).seconds) for name, one in calls.items())
