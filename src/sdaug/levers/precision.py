"""The number format that weights are held and computed in."""

from typing import Any, Literal

from sdaug.levers import AbstractLever, LeverSkipped


class Precision(AbstractLever):
    """Hold and compute every network in `dtype`.

    Trades accuracy for memory and speed: a 16-bit format halves the weights and, on a GPU, more than halves the time.
    float16 keeps 11 significant bits but overflows at 65504; bfloat16 keeps 8 and float32's range. On a CPU both work
    and save memory, but where the CPU has no float16 arithmetic of its own that format takes ten times as long.
    """

    dtype: Literal["float32", "float16", "bfloat16"] = "float16"

    def apply(self, pipe: Any) -> None:
        import torch

        on_gpu = pipe.device.type == "cuda"
        if self.dtype == "bfloat16" and on_gpu and torch.cuda.get_device_capability(pipe.device) < (8, 0):
            raise LeverSkipped("bfloat16 needs a GPU of compute capability 8.0 or newer")
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                # torch's own `to`: diffusers' warns about an empty list of modules that should stay in float32.
                torch.nn.Module.to(part, dtype=getattr(torch, self.dtype))
