"""Single operators of the shapes that Stable Diffusion 1.5 runs, ready to be timed on this computer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sdaug.costmodel.work import Kind


@dataclass(frozen=True, eq=False)
class Operator:
    """run: calls it once. warm: of its tensors, those that the operator before it would just have written; its weights
    were last used a whole pass ago."""

    kind: Kind
    name: str
    run: Callable[[], Any]
    warm: tuple[Any, ...]


# Batch, channels in, side, channels out; of 3x3 kernels, of the UNet at 256 to 512 px and of the VAEs. On small maps
# libraries change their algorithm from one shape to the next: most of those are here.
_CONVOLUTIONS = (
    (1, 320, 64, 320), (1, 960, 64, 320), (1, 640, 32, 640), (1, 1280, 32, 640), (1, 320, 32, 320), (2, 320, 32, 320),
    (1, 960, 32, 320), (1, 640, 16, 640), (2, 640, 16, 640), (1, 1280, 16, 640), (1, 640, 16, 1280),
    (1, 1280, 16, 1280), (1, 2560, 16, 1280), (1, 640, 8, 1280), (1, 1280, 8, 1280), (2, 1280, 8, 1280),
    (1, 1920, 8, 1280), (1, 2560, 8, 1280), (1, 1280, 6, 1280), (1, 2560, 6, 1280), (1, 1280, 4, 1280),
    (2, 1280, 4, 1280), (1, 2560, 4, 1280), (1, 128, 128, 128), (1, 256, 128, 256), (1, 512, 64, 512),
    (1, 128, 256, 128), (1, 64, 256, 64), (1, 64, 512, 64), (1, 64, 128, 64), (1, 3, 256, 128), (1, 4, 64, 320),
    (1, 64, 256, 3), (1, 64, 512, 3), (1, 128, 256, 3),
)  # fmt: skip
# Rows, features in, features out.
_PRODUCTS = (
    (4096, 320, 320), (4096, 320, 2560), (1024, 320, 2560), (1024, 640, 640), (1024, 640, 5120), (256, 640, 5120),
    (256, 1280, 1280), (256, 1280, 10240), (64, 1280, 1280), (64, 1280, 10240), (64, 5120, 1280), (77, 768, 320),
    (77, 768, 1280), (77, 768, 3072), (1, 1280, 320), (4096, 1280, 320), (1024, 1280, 320),
)  # fmt: skip
# Heads, queries, keys, features of a head.
_ATTENTIONS = (
    (8, 4096, 4096, 40), (8, 1024, 1024, 80), (8, 1024, 1024, 40), (8, 256, 256, 160), (8, 256, 256, 80),
    (8, 4096, 77, 40), (8, 1024, 77, 80), (8, 64, 64, 160), (1, 1024, 1024, 512), (12, 77, 77, 64),
)  # fmt: skip
# Channels, side.
_MAPS = ((320, 64), (640, 32), (1280, 16), (1280, 8), (128, 256), (512, 64), (64, 128))


def operators(dtype: str) -> Iterator[Operator]:
    """Each with random inputs of its own, made when it is asked for."""
    import torch
    import torch.nn.functional as F

    kind = getattr(torch, dtype)

    def random(*shape: int) -> Any:
        return torch.randn(shape).to(kind)

    for batch, inputs, side, outputs in _CONVOLUTIONS:
        x, w, b = random(batch, inputs, side, side), random(outputs, inputs, 3, 3), random(outputs)
        name = f"{batch}x{inputs}x{side} to {outputs}"
        yield Operator("conv3x3", name, lambda x=x, w=w, b=b: F.conv2d(x, w, b, 1, 1), (x,))
    for rows, inputs, outputs in _PRODUCTS:
        x, w, b = random(1, rows, inputs), random(outputs, inputs), random(outputs)
        yield Operator("linear", f"{rows}x{inputs} to {outputs}", lambda x=x, w=w, b=b: F.linear(x, w, b), (x,))
    for inputs, side in _MAPS[:4]:
        x, w, b = random(1, inputs, side, side), random(inputs, inputs, 1, 1), random(inputs)
        yield Operator("linear", f"1x1 {inputs}x{side}", lambda x=x, w=w, b=b: F.conv2d(x, w, b), (x,))
    for heads, queries, keys, features in _ATTENTIONS:
        q, k, v = random(1, heads, queries, features), *(random(1, heads, keys, features) for _ in range(2))
        name = f"{heads}x{queries}x{keys}x{features}"
        yield Operator("attention", name, lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v), (q, k, v))
    for channels, side in _MAPS:
        x, w, b = random(1, channels, side, side), random(channels), random(channels)
        yield Operator("norm", f"group {channels}x{side}", lambda x=x, w=w, b=b: F.group_norm(x, 32, w, b), (x,))
    for channels, side in _MAPS[:3]:
        x, w, b = random(1, side * side, channels), random(channels), random(channels)
        name = f"layer {channels}x{side}"
        yield Operator("norm", name, lambda x=x, w=w, b=b, c=channels: F.layer_norm(x, (c,), w, b), (x,))
    for channels, side in _MAPS:
        x, y = random(1, channels, side, side), random(1, channels, side, side)
        yield Operator("elementwise", f"silu {channels}x{side}", lambda x=x: F.silu(x), (x,))
        yield Operator("elementwise", f"add {channels}x{side}", lambda x=x, y=y: x + y, (x,))
        yield Operator("elementwise", f"cat {channels}x{side}", lambda x=x, y=y: torch.cat([x, y], 1), (x,))
    for rows, features in ((4096, 1280), (1024, 2560), (256, 5120)):
        x = random(1, rows, features)
        yield Operator("elementwise", f"gelu {rows}x{features}", lambda x=x: F.gelu(x), (x,))
        yield Operator("elementwise", f"copy {rows}x{features}", lambda x=x: x.transpose(1, 2).contiguous(), (x,))
