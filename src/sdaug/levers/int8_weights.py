"""Weights of linear layers stored in 8-bit integers."""

from importlib.util import find_spec
from typing import ClassVar

from sdaug.levers import AbstractLever, Answer, Change, LeverSkipped, Pipeline, Quantity, Stage


class Int8Weights(AbstractLever):
    """Store the weights of linear layers of UNet and ControlNet in int8, with a scale for each output, by torchao.

    Trades time and accuracy for memory, and little of it: convolutions, 69 % of the UNet's weights, stay as they are,
    so that weights shrink by 16 % (counted, from float16), where fp8_storage takes half. Without compiling, each layer
    widens its weights first and is slower for it.
    """

    stage: ClassVar[Stage] = "storage"
    claims: ClassVar[dict[Quantity, Change]] = {
        "weight_bytes": "less",
        "peak_bytes": "less",
        "launches": "more",
        "bytes_moved": "varies",
    }
    answer: ClassVar[Answer] = "coarser"
    excludes: ClassVar[dict[str, str]] = {"onnx_engine": "an engine's weights are fixed"}

    def apply(self, pipeline: Pipeline) -> None:
        if find_spec("torchao") is None:
            raise LeverSkipped("torchao is not installed; `pip install torchao` does it")
        from torchao.quantization import (  # pyright: ignore[reportMissingImports]  (no dependency of ours)
            Int8WeightOnlyConfig,
            quantize_,
        )

        for network in (pipeline.unet, pipeline.controlnet):
            quantize_(network, Int8WeightOnlyConfig())
