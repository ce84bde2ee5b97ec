"""Networks on the GPU only while their stage of a call runs."""

from typing import Any, ClassVar

from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity, Stage


class ModelCpuOffload(AbstractLever):
    """Keep the VAE on the GPU while it encodes or decodes, and UNet, ControlNet and hint network while they denoise.

    Trades time for GPU memory: each call copies 2.6 GB (float16) to the GPU and back, so a picture took 4.3 s instead
    of 3.2 (measured by others on a desktop card). UNet and ControlNet stay together, since they take turns each step.
    Where the GPU shares the processor's memory this would free nothing and copy all the same.
    """

    stage: ClassVar[Stage] = "storage"
    claims: ClassVar[dict[Quantity, Change]] = {"weight_bytes": "less", "peak_bytes": "less"}
    excludes: ClassVar[dict[str, str]] = {
        "sequential_cpu_offload": "both move the same networks",
        "cuda_graphs": "a captured graph finds weights by their address, and here they move at every call",
        "int8_weights": "accelerate cannot move torchao's weights back and forth",
        "onnx_engine": "an engine cannot be moved",
    }

    def apply(self, pipeline: Pipeline) -> None:
        if not pipeline.memory_of_its_own:
            raise LeverSkipped(f"{pipeline.device} has no memory of its own: offloading would free nothing")
        offload(pipeline)


def offload(pipeline: Pipeline) -> None:
    """Hooks on every network, which leave it on the CPU until it is called, and again once the call is through."""
    import torch
    from accelerate import cpu_offload_with_hook
    from accelerate.hooks import UserCpuOffloadHook

    class Together(UserCpuOffloadHook):
        """Several networks to be moved away before another one runs."""

        def __init__(self, hooks: list[Any]) -> None:
            super().__init__(hooks[0].model, hooks[0].hook)
            self.hooks = hooks

        def offload(self) -> None:
            for hook in self.hooks:
                hook.offload()

    device = pipeline.device
    denoisers = [pipeline.hint, pipeline.controlnet, pipeline.unet]
    _, vae = cpu_offload_with_hook(pipeline.vae, device)
    hooks = [cpu_offload_with_hook(network, device, prev_module_hook=vae)[1] for network in denoisers]
    # The UNet last: it is the one that accelerate asks whether there is anything to move.
    vae.hook.prev_module_hook = Together(hooks[::-1])
    everything = Together([vae, *hooks])

    def away() -> None:
        everything.offload()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    pipeline.after_call.append(away)
    pipeline.placed = True
