"""UNet and ControlNet recorded once and replayed as one launch."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity

Record = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]
"""Given a function of fixed buffers: (what runs it again, its answer, which every run writes anew)."""


class CudaGraphs(AbstractLever):
    """Capture UNet and ControlNet in CUDA graphs, one for each shape of their inputs; the `max_graphs` last used stay.

    Trades memory and a slow first call for time: a step's 1333 kernels (counted, with guidance) are launched as two, so
    the processor no longer holds up a small batch (54 ms of launching became 12 on an A6000's host). Every graph keeps
    buffers for its inputs and answers, inputs are copied in and answers out.
    """

    claims: ClassVar[dict[Quantity, Change]] = {"launches": "less", "peak_bytes": "more"}
    excludes: ClassVar[dict[str, str]] = {
        "torch_compile": "what runs compiled is not captured here",
        "onnx_engine": "an engine runs outside PyTorch",
    }

    max_graphs: int = Field(default=8, ge=1, le=64)

    def apply(self, pipeline: Pipeline) -> None:
        import torch

        if pipeline.device.type != "cuda":
            raise LeverSkipped(f"CUDA graphs need a CUDA device, not {pipeline.device}")
        pool = torch.cuda.graph_pool_handle()
        for network in (pipeline.unet, pipeline.controlnet):
            captured = Captured(network.forward, partial(record, pipeline.device, pool), self.max_graphs)
            network.forward = captured
            pipeline.spare.append(captured.graphs.clear)
            pipeline.undo.append(partial(_restore, network, captured))


class Captured:
    """A forward pass that runs as a recording of itself.

    forward: takes and gives tensors in tuples, lists and dictionaries; anything else among its arguments is part of
    what a recording is for. Not for a forward pass that depends on the values of its tensors.
    """

    def __init__(self, forward: Callable[..., Any], record: Record, max_graphs: int) -> None:
        self.forward, self.record, self.max_graphs = forward, record, max_graphs
        self.graphs: OrderedDict[Any, tuple[Callable[[], None], list[Any], Any]] = OrderedDict()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from torch import Tensor
        from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

        leaves, spec = tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        kind = tuple(
            (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else (type(leaf), leaf) for leaf in leaves
        )
        if (found := self.graphs.get((spec, kind))) is None:
            device = args[0].device
            buffers = [leaf.to(device).clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            fixed_args, fixed_kwargs = tree_unflatten(buffers, spec)
            replay, answer = self.record(lambda: self.forward(*fixed_args, **fixed_kwargs))
            found = replay, [buffer for buffer in buffers if isinstance(buffer, Tensor)], answer
            while len(self.graphs) >= self.max_graphs:
                self.graphs.popitem(last=False)
            self.graphs[spec, kind] = found
        self.graphs.move_to_end((spec, kind))
        replay, inputs, answer = found
        for buffer, tensor in zip(inputs, tensors, strict=True):
            buffer.copy_(tensor)
        replay()
        # Schedulers and the steps that reuse residuals hold on to answers; the next replay overwrites these.
        return tree_map(lambda part: part.clone() if isinstance(part, Tensor) else part, answer)


def record(device: Any, pool: Any, run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """`run` captured on `device`, its working memory shared with every other graph of `pool`."""
    import torch

    with torch.cuda.device(device):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            # Until libraries have chosen their kernels and allocated their workspaces.
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads, a memory meter's say, may go on asking the driver.
        with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
            answer = run()
    return graph.replay, answer


def _restore(network: Any, captured: Captured) -> None:
    network.forward = captured.forward
    captured.graphs.clear()
