"""Weights stored in 8-bit floating point."""

from typing import ClassVar

from sdaug.levers import AbstractLever, Answer, Change, Pipeline, Quantity, Stage


class Fp8Storage(AbstractLever):
    """Store the weights of UNet and ControlNet in float8 (e4m3) and widen each layer's while it runs.

    Trades time and accuracy for memory: linear layers and convolutions, biases included and nearly all of the weights,
    take one byte a number instead of two or four; 4 significant bits are left of each. Widening reads and writes every
    weight at every step (predicted 24 ms on a Jetson AGX Orin). Every layer whose name has "norm" in it keeps its
    format, and so do the small hint network and the VAE.
    """

    stage: ClassVar[Stage] = "storage"
    claims: ClassVar[dict[Quantity, Change]] = {
        "weight_bytes": "less",
        "peak_bytes": "less",
        "launches": "more",
        "bytes_moved": "more",
    }
    answer: ClassVar[Answer] = "coarser"
    excludes: ClassVar[dict[str, str]] = {
        "int8_weights": "both store the same weights",
        "cuda_graphs": "a captured graph finds weights by their address, and here they move at every step",
        "torch_compile": "weights that change their format inside a forward pass cannot be compiled",
        "sequential_cpu_offload": "two kinds of hooks would move the same weights",
        "onnx_engine": "an engine's weights are fixed",
    }

    def apply(self, pipeline: Pipeline) -> None:
        import torch

        for network in (pipeline.unet, pipeline.controlnet):
            network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=pipeline.dtype)
