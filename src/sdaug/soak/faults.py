"""Memory made to run out at one place of a call, until something was given up for it."""

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from unittest.mock import patch

import cv2

from sdaug.diffusion import generator as generating
from sdaug.diffusion import source
from sdaug.diffusion.generator import DiffusionGenerator

Stage = Literal[
    "encode", "draw", "hint", "controlnet", "unet first", "unet middle", "unet last", "scheduler", "decode", "pixels"
]
Until = Literal["once", "batch_size", "fp8_storage", "always"]
Kind = Literal["python", "cuda", "cpu", "tegra", "cublas", "opencv"]

STAGES: tuple[Stage, ...] = get_args(Stage)
UNTIL: tuple[Until, ...] = get_args(Until)
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Fault:
    """Memory runs out at `stage` of every batch that angle `angle` is in.

    until: "once" for the first time only, "batch_size" while the angle is not alone, "fp8_storage" until that was
    given up, or "always". kind: how the error words it.
    """

    stage: Stage
    angle: int
    until: Until = "once"
    kind: Kind = "cuda"


@dataclass
class Watched:
    """What was seen while a fault was in force.

    raised: times. live_before: bytes of all tensors at the beginning of each attempt at a batch. failed_before: whether
    the attempt before it failed. alive: tensors of failed attempts that were there at the next one.
    """

    raised: int = 0
    live_before: list[int] = field(default_factory=list)
    failed_before: list[bool] = field(default_factory=list)
    alive: int = 0


@contextmanager
def injected(generator: DiffusionGenerator, fault: Fault) -> Iterator[Watched]:
    """The fault in force in `generator`, a small random one of our own making."""
    import torch

    watched, batch = Watched(), _Batch()
    pipeline, real_batch = generator.pipeline, generator._batch

    def attempt(jobs: Any, *rest: Any) -> Any:
        watched.failed_before.append(batch.failed)
        watched.live_before.append(live_bytes())
        watched.alive += sum(ref() is not None for ref in batch.held)
        batch.begin([job.index for job in jobs])
        made = real_batch(jobs, *rest)
        batch.failed = False
        return made

    def meet(*held: Any) -> None:
        """Here memory runs out, with these tensors in the hands of whoever called."""
        taken = generator.facts.get("resource_steps", [])
        over = {
            "once": watched.raised > 0,
            "batch_size": len(batch.angles) == 1,
            "fp8_storage": "fp8_storage" in taken,
            "always": False,
        }[fault.until]
        if fault.angle in batch.angles and not over:
            watched.raised += 1
            batch.held = [weakref.ref(value) for value in held if isinstance(value, torch.Tensor)]
            raise error_of(fault.kind)

    def after(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            answer = function(*arguments, **keywords)
            meet(answer)
            return answer

        return wrapped

    def scheduler(*arguments: Any) -> Any:
        chosen = choose(*arguments)
        chosen.step = after(chosen.step)
        return chosen

    choose = generating.choose_scheduler
    with ExitStack() as stack:
        object.__setattr__(generator, "_batch", attempt)
        stack.callback(object.__delattr__, generator, "_batch")
        part, _, when = fault.stage.partition(" ")
        if part == "unet":
            steps = {"first": 1, "middle": 2, "last": 3}[when]

            def at_step(_: Any, arguments: tuple[Any, ...]) -> None:
                batch.steps += 1
                if batch.steps == steps:
                    meet(*arguments)

            stack.callback(pipeline.unet.conv_out.register_forward_pre_hook(at_step).remove)
        elif part in ("controlnet", "hint"):
            layer = pipeline.hint if part == "hint" else pipeline.controlnet.controlnet_mid_block
            stack.callback(layer.register_forward_hook(lambda _, seen, answer: meet(*seen, answer)).remove)
        elif part == "scheduler":
            stack.enter_context(patch.object(generating, "choose_scheduler", scheduler))
        else:
            where, name = {
                "encode": (source, "_encode"),
                "draw": (generating, "draw"),
                "decode": (generating, "decode"),
                "pixels": (generating, "to_pixels"),
            }[part]
            stack.enter_context(patch.object(where, name, after(getattr(where, name))))
        yield watched


@dataclass
class _Batch:
    """The attempt that is going on. failed: it has not come back. held: what the last one that failed had in hand."""

    angles: list[int] = field(default_factory=list)
    steps: int = 0
    failed: bool = False
    held: list[Any] = field(default_factory=list)

    def begin(self, angles: list[int]) -> None:
        self.angles, self.steps, self.failed, self.held = angles, 0, True, []


def error_of(kind: Kind) -> Exception:
    """As it comes from where it comes from."""
    import torch

    return {
        "python": MemoryError(),
        "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity"),
        "cpu": RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "tegra": RuntimeError(
            'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/opt/pytorch/c10/cuda/CUDACachingAllocator.cpp":838, please '
            "report a bug to PyTorch."
        ),
        "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        "opencv": cv2.error(
            "OpenCV(4.11.0) modules/core/src/alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes "
            "in function 'OutOfMemoryError'"
        ),
    }[kind]


def live_bytes() -> int:
    """Of all tensors that Python knows and that were made since the last `gc.freeze()`, shared storages once."""
    import torch

    kinds = (torch.Tensor, torch.nn.Parameter)
    tensors = [item for item in gc.get_objects() if type(item) in kinds and item.device.type != "meta"]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())
