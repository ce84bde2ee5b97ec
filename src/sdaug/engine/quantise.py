"""Static int8: weights and activations of the chosen operators as 8-bit integers, by onnxruntime's quantiser (QDQ).

Only products with a weight are quantised: attention's own products, norms, softmax and biases stay float. Weights are
symmetric int8. onnxruntime's advice (`quantize_static`, 1.32) is symmetric int8 activations for TensorRT and ARM, and
uint8 ones for x86, with weights of 7 bits where the processor lacks VNNI: its 8-bit product saturates there.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sdaug.config import Config
from sdaug.engine.export import SCOPE, described_inputs
from sdaug.engine.manifest import EngineError, Graph
from sdaug.measure.digest import file_sha256


class Quantisation(Config):
    """What becomes int8.

    operators: ONNX operators. keep_float: modules whose name holds one of these words stay float; the first and last
    layers and the time embedding are small and spoil most. per_channel: a scale for each output channel of a weight
    and not one for all. activations: "int8" for TensorRT and ARM, "uint8" for x86. outputs: answers become 8-bit
    integers too; less exact, but onnxruntime's CPU computes a convolution in integers only then. reduce_range: weights
    of 7 bits. samples: recorded calls of each network that are looked at.
    """

    operators: tuple[str, ...] = ("Conv", "Gemm", "MatMul")
    keep_float: tuple[str, ...] = ("conv_in", "conv_out", "time_embedding", "time_emb_proj")
    per_channel: bool = True
    activations: Literal["int8", "uint8"] = "int8"
    outputs: bool = False
    reduce_range: bool = False
    samples: int = Field(default=64, ge=1)


def quantise(graph: Graph, folder: Path, recorded: list[Path], target: Path, how: Quantisation) -> Graph:
    """The graph in `folder` as an int8 one in `target`, under the same name.

    recorded: .npz files, one for each call, with every input by name; the range of every activation is what these show.
    Raises `EngineError` where `how` leaves nothing to quantise or a file lacks an input.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    nodes = _nodes(folder / graph.file, how)
    if not nodes:
        raise EngineError(f"nothing in {graph.file} is to be int8: operators {how.operators} without {how.keep_float}")
    chosen = _spread(recorded, how.samples)
    if not chosen:
        raise EngineError(f"{graph.file}: no calibration data; int8 needs inputs of a real denoising")
    root = logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory(prefix="sdaug-") as scratch, warnings.catch_warnings():
        root.setLevel(logging.ERROR)  # its advice to run a pre-processing that these graphs have had goes to the root
        try:
            quantize_static(
                str(folder / graph.file),
                str(Path(scratch) / graph.file),
                _Recorded(chosen, list(graph.inputs)),  # pyright: ignore[reportArgumentType]  (an abstract class by duck)
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QInt8 if how.activations == "int8" else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(how.operators),
                nodes_to_quantize=nodes,
                per_channel=how.per_channel,
                reduce_range=how.reduce_range,
                calibrate_method=CalibrationMethod.MinMax,
                use_external_data_format=True,
                extra_options={
                    "ActivationSymmetric": how.activations == "int8",
                    "WeightSymmetric": True,
                    "QuantizeBias": False,
                    "MatMulConstBOnly": True,
                    "OpTypesToExcludeOutputQuantization": [] if how.outputs else list(how.operators),
                    "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
                },
            )
        finally:
            root.setLevel(level)
        for path in sorted(Path(scratch).glob(f"{graph.file}*")):
            path.replace(target / path.name)
    files = {path.name: file_sha256(path) for path in sorted(target.glob(f"{graph.file}*"))}
    return Graph(graph.file, graph.weights_sha256, described_inputs(target / graph.file), files)


def int8_share(file: Path, how: Quantisation) -> float:
    """Of the graph's operators that `how` names and that have a weight, the part whose input passes an int8."""
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    from_int8 = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    constant = {each.name for each in graph.initializer} | from_int8
    weighted = [n for n in graph.node if n.op_type in how.operators and n.input[1] in constant]
    return sum(n.input[0] in from_int8 for n in weighted) / len(weighted)


def _nodes(file: Path, how: Quantisation) -> list[str]:
    """Names of the nodes to quantise: of a chosen operator, with a constant weight, in no module that stays float."""
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    constant = {each.name for each in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type in how.operators
        and node.input[1] in constant
        and not any(word in _module(node) for word in how.keep_float)
    ]


def _module(node: Any) -> str:
    return next((each.value for each in node.metadata_props if each.key == SCOPE), "")


def _spread(recorded: list[Path], count: int) -> list[Path]:
    """At most `count`, evenly over the whole of it: early steps and late ones differ."""
    if len(recorded) <= count:
        return recorded
    return [recorded[i] for i in np.linspace(0, len(recorded) - 1, count).round().astype(int)]


class _Recorded:
    """onnxruntime's calibration reader over recorded calls, one in memory at a time."""

    def __init__(self, files: list[Path], inputs: list[str]) -> None:
        self._inputs = inputs
        self._next: Iterator[Path] = iter(files)

    def get_next(self) -> dict[str, np.ndarray] | None:
        path = next(self._next, None)
        if path is None:
            return None
        with np.load(path, allow_pickle=False) as found:
            missing = sorted(set(self._inputs) - set(found.files))
            if missing:
                raise EngineError(f"{path} lacks the inputs {', '.join(missing)}")
            return {name: found[name] for name in self._inputs}
