"""Fewer denoising steps, with a scheduler made for few."""

from typing import ClassVar

from pydantic import Field

from sdaug.config import SchedulerName
from sdaug.levers import AbstractLever, Answer, Change, Pipeline, Quantity


class FewSteps(AbstractLever):
    """Denoise in `num_inference_steps` steps by `scheduler` (None: the one that the call names).

    Trades detail of what is invented for time, which is proportional. DPM-Solver++ is for 5 to 20 steps of an ordinary
    model (Lu et al. 2022, arXiv:2211.01095); a few-step LoRA wants its own scheduler and 2 to 8. Identity settles
    within 4 to 8 steps (arXiv:2605.09460). DPM-Solver++ keeps two predictions in memory.
    """

    claims: ClassVar[dict[Quantity, Change]] = {
        "unet_runs": "less",
        "unet_images": "less",
        "controlnet_runs": "less",
        "controlnet_images": "less",
        "flops": "less",
        "launches": "less",
        "bytes_moved": "less",
        "peak_bytes": "more",
    }
    answer: ClassVar[Answer] = "nearby"

    num_inference_steps: int = Field(default=5, ge=1, le=50)
    scheduler: SchedulerName | None = "dpmsolver++"

    def apply(self, pipeline: Pipeline) -> None:
        scheduler = {} if self.scheduler is None else {"scheduler": self.scheduler}
        pipeline.hold(num_inference_steps=self.num_inference_steps, **scheduler)
