"""UNet and ControlNet compiled by torch."""

from typing import Any, ClassVar, Literal

from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity

BLOCKS = ("ResnetBlock2D", "BasicTransformerBlock")
"""Where nearly all the work is. diffusers' `compile_repeated_blocks` takes the second only, none of ControlNet's."""

RECOMPILE_LIMIT = 128


class TorchCompile(AbstractLever):
    """Compile UNet and ControlNet with torch's inductor, which fuses norms, activations and additions.

    Trades minutes at the first call, and again for every new batch or picture size, for time at each later one: on an
    A100 31 steps a second became 37, and 47 with channels_last (fal.ai's benchmark). regional: compile the repeated
    blocks one by one, which is quicker to do and fuses less. fullgraph: an error where the compiler would have to leave
    something out. Modes that record CUDA graphs are not offered: they overwrite answers that later steps still need.
    freezing: on a CPU, compile each network whole with its weights as constants, folded and put in oneDNN's order,
    for a second copy of the weights in memory, one for each batch and picture size. The whole pipeline took 0.93 of
    stock's time with it on two cores (`sdaug bench pipeline`).
    """

    claims: ClassVar[dict[Quantity, Change]] = {"compiled": "more"}
    excludes: ClassVar[dict[str, str]] = {"onnx_engine": "an engine runs outside PyTorch"}

    mode: Literal["default", "max-autotune-no-cudagraphs"] = "default"
    fullgraph: bool = True
    regional: bool = True
    freezing: bool = False

    def apply(self, pipeline: Pipeline) -> None:
        import torch

        check_compiler(pipeline.device)
        # All blocks of a class share the limit, and each of their shapes counts.
        most = max(torch._dynamo.config.recompile_limit, RECOMPILE_LIMIT)
        _set_until_closed(pipeline, torch._dynamo.config, "recompile_limit", most)
        if self.freezing:
            self._freeze(pipeline)
            return
        for network in (pipeline.unet, pipeline.controlnet):
            blocks = [m for m in network.modules() if type(m).__name__ in BLOCKS] if self.regional else [network]
            for block in blocks:
                block.compile(mode=self.mode, fullgraph=self.fullgraph)

    def _freeze(self, pipeline: Pipeline) -> None:
        if pipeline.device.type != "cpu":
            raise LeverSkipped(f"weights are frozen for oneDNN, which is for CPUs, not {pipeline.device}")
        import torch._inductor.config

        # As an option of `compile` it reaches the compiler alone: the tracer, which looks here, has made the weights
        # inputs of the graph by then, and nothing is frozen.
        _set_until_closed(pipeline, torch._inductor.config, "freezing", True)
        for network in (pipeline.unet, pipeline.controlnet):
            for weight in network.parameters():
                weight.requires_grad_(False)
            network.compile(fullgraph=self.fullgraph, dynamic=False)


def _set_until_closed(pipeline: Pipeline, config: Any, name: str, value: Any) -> None:
    before = getattr(config, name)
    setattr(config, name, value)
    pipeline.undo.append(lambda: setattr(config, name, before))


def check_compiler(device: Any) -> None:
    """Raises `LeverSkipped` unless something small compiles and runs on `device`."""
    import torch

    try:
        torch.compile(_something_small, fullgraph=True)(torch.ones(8, device=device))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, OSError) as error:
        why = str(error).strip().partition("\n")[0]
        raise LeverSkipped(f"no compiler works here for {device}: {why}") from error


def _something_small(x: Any) -> Any:
    return (x + 1).relu()
