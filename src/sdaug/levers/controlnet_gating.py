"""ControlNet for a part of the steps."""

from typing import ClassVar

from pydantic import Field, model_validator

from sdaug.levers import AbstractLever, Answer, Change, Pipeline, Quantity


class ControlnetGating(AbstractLever):
    """Run ControlNet only in the steps from `control_guidance_start` to `control_guidance_end`, parts of 1.

    Trades grip on the pose for time: a step without it is 25 % less work, and its forward pass really does not happen
    (the stock pipelines run it and multiply by zero). Pose is decided early, so the end is what to cut.
    """

    claims: ClassVar[dict[Quantity, Change]] = {
        "controlnet_runs": "less",
        "controlnet_images": "less",
        "flops": "less",
        "launches": "less",
        "bytes_moved": "less",
    }
    answer: ClassVar[Answer] = "nearby"

    control_guidance_start: float = Field(default=0.0, ge=0.0, le=1.0)
    control_guidance_end: float = Field(default=0.6, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _in_order(self) -> "ControlnetGating":
        if self.control_guidance_start >= self.control_guidance_end:
            raise ValueError(f"{self.control_guidance_start} to {self.control_guidance_end} is no interval")
        return self

    def apply(self, pipeline: Pipeline) -> None:
        pipeline.hold(
            control_guidance_start=self.control_guidance_start, control_guidance_end=self.control_guidance_end
        )
