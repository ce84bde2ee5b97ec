"""What a setting makes the networks do: its calls for the cost model, and what of it the model does not know."""

from dataclasses import dataclass
from typing import Any, Literal

from sdaug import plugins
from sdaug.config import GenerationSettings, RunSettings, default_precision
from sdaug.costmodel.call import Call
from sdaug.costmodel.device import Device, Runtime
from sdaug.costmodel.memory import Plan
from sdaug.costmodel.networks import Variant
from sdaug.costmodel.predict import Machine
from sdaug.diffusion.budget import called, plan_of
from sdaug.diffusion.schedule import Evaluations, evaluations, plan_steps
from sdaug.diffusion.strength import number_of_steps
from sdaug.levers import LeverSkipped, check_together

FIVE = 5
"""The angles of the mission's second time."""

_KNOWN = {
    "angle_batch", "attention_slicing", "controlnet_gating", "controlnet_reuse", "cuda_graphs", "few_steps",
    "fp8_storage", "guidance_interval", "int8_weights", "low_strength", "onnx_engine", "precision", "prompt_cache",
    "resolution", "tiny_vae", "torch_compile", "vae_slicing", "vae_tiling",
}  # fmt: skip
"""Levers whose effect on the time is counted. The others' is not, and `not_modelled` says so."""


@dataclass(frozen=True)
class Asked:
    """A setting by name."""

    name: str
    settings: RunSettings


@dataclass(frozen=True)
class Calls:
    """A setting as the cost model sees it.

    one: a call of one image; five: of five angles, `batch` at once. runtime, int8: of UNet and
    ControlNet. ran: evaluations of an image that has a hole. not_modelled: what the times leave out.
    """

    one: Call
    five: Call
    runtime: Runtime
    int8: bool
    ran: Evaluations
    batch: int
    not_modelled: tuple[str, ...]


def as_run(settings: RunSettings, machine: Machine) -> RunSettings:
    """With the precision that the augmentor takes on `machine` where `settings` name none."""
    if "precision" in settings.levers or settings.backend != "diffusion":
        return settings
    device = settings.model.device if isinstance(machine, Device) else "cpu"
    return settings.model_copy(update={"levers": settings.levers | {"precision": default_precision(device)}})


def check_modelled(settings: RunSettings) -> None:
    """Raises ValueError for settings that run no diffusion, and for the small random model, whose time nobody asks."""
    if settings.backend != "diffusion":
        raise ValueError(f"backend {settings.backend!r} runs no diffusion; nothing to predict")
    if settings.model.model_id == "random":
        raise ValueError("the small random model is not modelled; 'random-sd15' has SD1.5's size")


def calls_of(settings: RunSettings, machine: Machine, angles: int = FIVE) -> Calls:
    """What `settings` run on `machine`. angles: of the longer call. Raises `LeverSkipped` for a lever that cannot apply
    there, `ValueError` as `check_modelled`."""
    check_modelled(settings)
    levers = {name: plugins.load("sdaug.levers", name, options) for name, options in settings.levers.items()}
    check_together(levers)
    _check_machine(levers, machine)
    generation = called(settings, settings.levers)
    count = number_of_steps(max(generation.strength, generation.hole_strength), generation.num_inference_steps)
    ran = evaluations(plan_steps(count, generation))
    batch = min(generation.batch_size or angles, angles)
    memory = plan_of(settings, settings.levers, batch)
    engine = levers.get("onnx_engine")
    runtime = _runtime(levers, machine)
    return Calls(
        one=_call(generation, ran, memory, 1, 1),
        five=_call(generation, ran, memory, angles, batch),
        runtime=runtime,
        int8=bool(engine is not None and engine.int8),
        ran=ran,
        batch=batch,
        not_modelled=_not_modelled(settings, levers, machine),
    )


def _call(generation: GenerationSettings, ran: Evaluations, memory: Plan, images: int, batch: int) -> Call:
    storage: Literal["plain", "fp8", "int8"] = (
        "fp8" if memory.fp8_storage else "int8" if memory.int8_linear else "plain"
    )
    return Call(
        images=images,
        unet=ran.unet - ran.unet_guided,
        unet_guided=ran.unet_guided,
        controlnet=ran.controlnet - ran.controlnet_guided,
        controlnet_guided=ran.controlnet_guided,
        vae=memory.vae,
        batch=batch,
        size=generation.size,
        dtype=memory.dtype,
        vae_slicing=memory.vae_slicing,
        variant=Variant(memory.attention_slice, storage, memory.vae_tile, memory.networks),
    )


def _runtime(levers: dict[str, Any], machine: Machine) -> Runtime:
    if not isinstance(machine, Device):
        return "eager"
    engine = levers.get("onnx_engine")
    if engine is not None and engine.provider == "tensorrt":
        return "engine"
    if "torch_compile" in levers:
        return "compiled"
    return "graphs" if "cuda_graphs" in levers else "eager"


def _check_machine(levers: dict[str, Any], machine: Machine) -> None:
    """What the levers would say themselves on that machine."""
    for name in ("model_cpu_offload", "sequential_cpu_offload"):
        if name in levers and machine.unified_memory:
            raise LeverSkipped(f"{machine.name} has no memory of its own for the GPU: {name} would free nothing")
    if isinstance(machine, Device):
        if getattr(levers.get("torch_compile"), "freezing", False):
            raise LeverSkipped("weights are frozen for oneDNN, which is for CPUs")
        return
    if "cuda_graphs" in levers:
        raise LeverSkipped("CUDA graphs need a CUDA device, not a CPU")


def _not_modelled(settings: RunSettings, levers: dict[str, Any], machine: Machine) -> tuple[str, ...]:
    unknown = sorted(set(levers) - _KNOWN)
    engine = levers.get("onnx_engine")
    if engine is not None and not (isinstance(machine, Device) and engine.provider == "tensorrt"):
        unknown.append(f"onnx_engine on {engine.provider}")
    if "torch_compile" in levers and not isinstance(machine, Device):
        unknown.append("torch_compile on a CPU")
    unknown += ["face_id"] if settings.model.face_id else []
    unknown += ["safety_checker"] if settings.model.safety_checker == "on" else []
    return tuple(unknown)
