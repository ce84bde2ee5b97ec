"""The number format that weights are held and computed in."""

import logging
from typing import ClassVar, Literal

from sdaug.levers import AbstractLever, Answer, Change, LeverSkipped, Pipeline, Quantity, Stage
from sdaug.measure.arithmetic import has_arithmetic

log = logging.getLogger("sdaug.levers")


class Precision(AbstractLever):
    """Hold and compute every network in `dtype`.

    Trades accuracy for memory and speed: a 16-bit format halves the weights and, on a GPU, more than halves the time.
    float16 keeps 11 significant bits but overflows at 65504; bfloat16 keeps 8 and float32's range. On a CPU both work
    and save memory, but a format that the CPU has no arithmetic for takes ten to a hundred times as long, with a
    warning.
    """

    stage: ClassVar[Stage] = "weights"
    claims: ClassVar[dict[Quantity, Change]] = {
        "weight_bytes": "less",
        "peak_bytes": "less",
        "bytes_moved": "less",
        "launches": "more",
    }
    answer: ClassVar[Answer] = "coarser"

    dtype: Literal["float32", "float16", "bfloat16"] = "float16"

    def apply(self, pipeline: Pipeline) -> None:
        import torch

        on_gpu = pipeline.device.type == "cuda"
        if self.dtype == "bfloat16" and on_gpu and torch.cuda.get_device_capability(pipeline.device) < (8, 0):
            raise LeverSkipped("bfloat16 needs a GPU of compute capability 8.0 or newer")
        if not on_gpu and not has_arithmetic(self.dtype):
            log.warning("this processor has no %s arithmetic: many times slower than float32", self.dtype)
        pipeline.dtype = getattr(torch, self.dtype)
        for network in pipeline.networks.values():
            if isinstance(network, torch.nn.Module):  # an engine's number format is its graph's
                # torch's own `to`: diffusers' warns about an empty list of modules that should stay in float32.
                torch.nn.Module.to(network, dtype=pipeline.dtype)
