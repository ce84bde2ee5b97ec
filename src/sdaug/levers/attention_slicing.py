"""Attention computed a few heads at a time."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity


class AttentionSlicing(AbstractLever):
    """Compute attention a slice of heads at a time: "auto" is half of them, "max" one, a number that many.

    Trades time for memory, but only against attention that stores its whole score matrix. It replaces torch's fused
    attention, which never stores that matrix, so where the fused kernel runs it costs time (2.2 times, counted for
    SD1.5 at 512 px) and saves nothing.
    """

    claims: ClassVar[dict[Quantity, Change]] = {"launches": "more", "bytes_moved": "more"}
    excludes: ClassVar[dict[str, str]] = {"onnx_engine": "an engine's attention is fixed"}

    slice_size: Literal["auto", "max"] | Annotated[int, Field(ge=1)] = "auto"

    def apply(self, pipeline: Pipeline) -> None:
        if any(type(used).__name__.startswith("IPAdapter") for used in pipeline.unet.attn_processors.values()):
            raise LeverSkipped("it would replace the attention through which the face adapter works")
        heads = min(m.heads for m in pipeline.unet.modules() if hasattr(m, "heads"))
        if isinstance(self.slice_size, int) and self.slice_size > heads:
            raise LeverSkipped(f"slice_size {self.slice_size} is more than the {heads} heads of this model's attention")
        if self.slice_size == "auto" and heads < 2:
            raise LeverSkipped("slice_size 'auto' halves the heads, and this model has attention with only one")
        for network in (pipeline.unet, pipeline.controlnet):
            network.set_attention_slice(self.slice_size)
