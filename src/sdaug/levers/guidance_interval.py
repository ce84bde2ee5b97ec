"""Guidance for a part of the steps."""

from typing import ClassVar

from pydantic import Field, model_validator

from sdaug.levers import AbstractLever, Answer, Change, Pipeline, Quantity


class GuidanceInterval(AbstractLever):
    """Guide only the steps from `guidance_start` to `guidance_end`, parts of 1, and run the others on half the batch.

    Trades some pull of the prompt for time: outside the interval UNet and ControlNet see each picture once and not
    twice. Guidance matters at middle noise alone, and limiting it to there even improved pictures (Kynkaanniemi et al.
    2024, arXiv:2404.07724). Without guidance it changes nothing.
    """

    claims: ClassVar[dict[Quantity, Change]] = {
        "unet_images": "less",
        "controlnet_images": "less",
        "flops": "less",
        "launches": "less",
        "bytes_moved": "less",
    }
    answer: ClassVar[Answer] = "nearby"

    guidance_start: float = Field(default=0.2, ge=0.0, le=1.0)
    guidance_end: float = Field(default=0.6, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _in_order(self) -> "GuidanceInterval":
        if self.guidance_start >= self.guidance_end:
            raise ValueError(f"{self.guidance_start} to {self.guidance_end} is no interval")
        return self

    def apply(self, pipeline: Pipeline) -> None:
        pipeline.hold(guidance_start=self.guidance_start, guidance_end=self.guidance_end)
