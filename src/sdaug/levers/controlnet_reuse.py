"""ControlNet's features used for more than one step."""

from typing import ClassVar

from pydantic import Field

from sdaug.levers import AbstractLever, Answer, Change, Pipeline, Quantity


class ControlnetReuse(AbstractLever):
    """Run ControlNet at every `controlnet_interval`-th step and add what it gave then to the steps between as well.

    Trades exactness of the control for time: what it gives changes slowly from step to step (Li et al. 2023, Faster
    Diffusion, arXiv:2312.09608). Between runs the residuals stay in memory.
    """

    claims: ClassVar[dict[Quantity, Change]] = {
        "controlnet_runs": "less",
        "controlnet_images": "less",
        "flops": "less",
        "launches": "less",
        "bytes_moved": "less",
    }
    answer: ClassVar[Answer] = "nearby"

    controlnet_interval: int = Field(default=2, ge=2, le=10)

    def apply(self, pipeline: Pipeline) -> None:
        pipeline.hold(controlnet_interval=self.controlnet_interval)
