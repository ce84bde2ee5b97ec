"""Less noise on the photo, and fewer steps for it."""

from typing import ClassVar

from pydantic import Field

from sdaug.levers import AbstractLever, Answer, Change, Pipeline, Quantity


class LowStrength(AbstractLever):
    """Noise what the photo shows by `strength` and what it does not by `hole_strength`, whatever a call asks for.

    Trades freedom to repair the view for time and likeness: a batch takes int(steps * the larger of the two) steps, and
    what is noised less stays closer to the warped photo, faults of the warp included. Holes want more than the rest.
    """

    claims: ClassVar[dict[Quantity, Change]] = {
        "unet_runs": "less",
        "unet_images": "less",
        "controlnet_runs": "less",
        "controlnet_images": "less",
        "flops": "less",
        "launches": "less",
        "bytes_moved": "less",
    }
    answer: ClassVar[Answer] = "nearby"

    strength: float = Field(default=0.2, gt=0.0, le=1.0)
    hole_strength: float = Field(default=0.6, gt=0.0, le=1.0)

    def apply(self, pipeline: Pipeline) -> None:
        pipeline.hold(strength=self.strength, hole_strength=self.hole_strength)
