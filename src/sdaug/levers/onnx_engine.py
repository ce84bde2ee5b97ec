"""UNet and ControlNet run by onnxruntime instead of PyTorch."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sdaug.engine.attach import attach
from sdaug.engine.manifest import EngineError, ProviderMissing, read_manifest
from sdaug.engine.session import Provider
from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity, Stage


class OnnxEngine(AbstractLever):
    """Run UNet and ControlNet as the ONNX graphs in `folder`, on onnxruntime's `provider`: cpu, cuda or tensorrt.

    Trades freedom for speed: the graphs are fixed to one set of weights, LoRA and face adapter included, and are built
    beforehand by `sdaug engine build`. On a CPU it is PyTorch's arithmetic in another runtime; the gain is TensorRT's,
    which fuses what PyTorch runs one by one, compiles for minutes at the first load and keeps the result in `cache`.
    int8 trades likeness as well: weights take a quarter of float32's bytes, convolutions and linear layers run in
    8-bit integers where the processor has instructions for them, and every answer is a little wrong; how much stands
    in the folder's manifest. `folder` must hold what `int8` says. fp16, max_batch, max_size: for TensorRT alone.
    """

    stage: ClassVar[Stage] = "weights"
    # PyTorch's share, which is what is counted: onnxruntime holds the same weights and does the same work.
    claims: ClassVar[dict[Quantity, Change]] = {
        "weight_bytes": "less",
        "peak_bytes": "less",
        "flops": "less",
        "launches": "less",
        "bytes_moved": "less",
    }

    folder: str | None = None
    int8: bool = False
    provider: Provider = "cpu"
    fp16: bool = True
    max_batch: int = Field(default=10, ge=1, le=64)
    max_size: int = Field(default=512, ge=64, le=1024, multiple_of=64)
    cache: str | None = None

    def apply(self, pipeline: Pipeline) -> None:
        if self.folder is None:
            raise LeverSkipped("no engine folder is named; `sdaug engine build --out DIR` writes one")
        folder = Path(self.folder).expanduser()
        found = read_manifest(folder).precision
        if (found == "int8") != self.int8:
            raise EngineError(f"{folder} is a {found} engine; one that is {'' if self.int8 else 'not '}int8 expected")
        try:
            attach(
                pipeline,
                folder,
                self.provider,
                fp16=self.fp16,
                max_batch=self.max_batch,
                max_size=self.max_size,
                cache=None if self.cache is None else Path(self.cache).expanduser(),
            )
        except ProviderMissing as missing:
            raise LeverSkipped(str(missing)) from missing
