"""Layers on the GPU one at a time."""

from typing import ClassVar

from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity, Stage


class SequentialCpuOffload(AbstractLever):
    """Keep every weight in the processor's memory and copy each layer's to the GPU when it runs.

    Trades much time for GPU memory: next to nothing stays on the GPU, and every step of UNet and ControlNet copies all
    2.4 GB (float16): a picture took 21.4 s instead of 3.2 (measured by others on a desktop card). Where the GPU shares
    the processor's memory this would free nothing and copy all the same.
    """

    stage: ClassVar[Stage] = "storage"
    claims: ClassVar[dict[Quantity, Change]] = {"weight_bytes": "less", "peak_bytes": "less"}
    excludes: ClassVar[dict[str, str]] = {
        "cuda_graphs": "a captured graph finds weights by their address, and here they move at every step",
        "torch_compile": "weights that come and go inside a forward pass cannot be compiled",
        "int8_weights": "accelerate cannot move torchao's weights back and forth",
        "onnx_engine": "an engine cannot be moved",
    }

    def apply(self, pipeline: Pipeline) -> None:
        if not pipeline.memory_of_its_own:
            raise LeverSkipped(f"{pipeline.device} has no memory of its own: offloading would free nothing")
        offload(pipeline)


def offload(pipeline: Pipeline) -> None:
    """Hooks on every layer of every network, whose weights stay on the CPU."""
    from accelerate import cpu_offload

    for network in pipeline.networks.values():
        cpu_offload(network, pipeline.device, offload_buffers=bool(network._parameters))
    pipeline.placed = True
