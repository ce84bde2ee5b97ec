"""Convolution weights stored as oneDNN wants them."""

from functools import partial
from typing import Any, ClassVar

from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity


class WeightPrepacking(AbstractLever):
    """Store the convolution weights of UNet and ControlNet in oneDNN's own order, on a CPU in float32.

    Trades a slower load, and weights that nothing else can read, for time: PyTorch puts the weights of a convolution in
    order at every call, which for few pixels takes longer than convolving (measured on two cores: at 1280 channels and
    8 x 8 latents half of the time or less is left, at 320 and 64 x 64 nearly all). A compiler with frozen weights does
    the same.
    """

    claims: ClassVar[dict[Quantity, Change]] = {"channels_last": "more"}
    excludes: ClassVar[dict[str, str]] = {
        "fp8_storage": "both store the same weights",
        "torch_compile": "a compiler cannot look into oneDNN's order",
        "onnx_engine": "an engine's weights are fixed",
    }

    def apply(self, pipeline: Pipeline) -> None:
        import torch

        if pipeline.device.type != "cpu":
            raise LeverSkipped(f"oneDNN is for CPUs, not {pipeline.device}")
        if not torch.backends.mkldnn.is_available():
            raise LeverSkipped("this PyTorch has no oneDNN")
        if pipeline.dtype != torch.float32:
            raise LeverSkipped(f"tried in float32 only, and weights are {pipeline.dtype_name}")
        for network in (pipeline.unet, pipeline.controlnet):
            for layer in network.modules():
                if isinstance(layer, torch.nn.Conv2d) and isinstance(layer.padding, tuple):
                    _pack(layer)
                    pipeline.undo.append(partial(_drop, layer))


def _pack(layer: Any) -> None:
    """`layer` called on packed weights; its own become a shape without numbers."""
    import torch

    geometry = layer.padding, layer.stride, layer.dilation, layer.groups
    native: Any = torch._C
    with torch.inference_mode():
        layer.packed = native._nn.mkldnn_reorder_conv2d_weight(layer.weight.to_mkldnn(), *geometry)

    def forward(pixels: Any) -> Any:
        # What inductor makes of a convolution with frozen weights; `torch.mkldnn_convolution` orders them again.
        return torch.ops.mkldnn._convolution_pointwise(pixels, layer.packed, layer.bias, *geometry, "none", [], "")

    layer.forward = forward
    layer.weight = torch.nn.Parameter(layer.weight.to("meta"), requires_grad=False)


def _drop(layer: Any) -> None:
    del layer.forward, layer.packed
