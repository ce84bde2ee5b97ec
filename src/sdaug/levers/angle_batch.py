"""How many angles are denoised together."""

from typing import ClassVar

from pydantic import Field

from sdaug.levers import AbstractLever, Change, Pipeline, Quantity


class AngleBatch(AbstractLever):
    """Denoise `batch_size` angles at a time, whatever a call asks for.

    Trades time for memory: each angle less takes its activations out of the peak (65 MiB at 512 px in float16, twice
    that with guidance), and weights are read and kernels launched for fewer pictures at once. Counted, one at a time
    takes 1.16 times as long a picture as five where the GPU is kept busy, and more where launching holds it up.
    """

    claims: ClassVar[dict[Quantity, Change]] = {
        "unet_runs": "more",
        "controlnet_runs": "more",
        "launches": "more",
        "bytes_moved": "more",
        "peak_bytes": "less",
    }

    batch_size: int = Field(default=1, ge=1, le=10)

    def apply(self, pipeline: Pipeline) -> None:
        pipeline.hold(batch_size=self.batch_size)
