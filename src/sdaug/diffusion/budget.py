"""A budget in GB: what is given up before loading so that the counted peak of tensors stays within it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sdaug import plugins
from sdaug.config import GenerationSettings, RunSettings
from sdaug.costmodel.memory import Peak, Plan
from sdaug.diffusion.counted import remembered_peak
from sdaug.diffusion.described import networks_of
from sdaug.diffusion.lora import FEW_STEP
from sdaug.diffusion.schedule import plan_steps
from sdaug.diffusion.steps import SMALLER, TILE
from sdaug.levers import LeverSkipped, check_together
from sdaug.types import Reason

METER = "counted sum of PyTorch's tensors (torch.cuda.max_memory_allocated), GB of 10^9 bytes"

Levers = dict[str, dict[str, Any]]

LADDER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("vae_slicing", {}),
    ("free_vae_encoder", {}),
    ("vae_tiling", {"tile": TILE}),
    ("tiny_vae", {}),
    ("fp8_storage", {}),
    ("model_cpu_offload", {}),
    ("resolution", {"size": SMALLER}),
)
"""Levers in the order in which they are pulled; under each, fewer angles at once are tried before the next one."""

CONDITIONAL = ("free_vae_encoder", "tiny_vae", "model_cpu_offload")
"""Those of `LADDER` that cannot always be had: the VAE's encoder must be in a file that can be read again or have
memory of the processor's to wait in, the tiny VAE's weights must be here, the GPU must have memory of its own."""

_WORDS = {"resolution": "size"}

_NOT_COUNTED = {"cuda_graphs", "onnx_engine", "sequential_cpu_offload", "torch_compile"}


class BudgetTooSmall(RuntimeError):
    """Nothing that diffusion can do without makes it fit."""

    reason = Reason.BUDGET_TOO_SMALL


@dataclass(frozen=True)
class Fit:
    """Settings under which a call stays within a budget, as far as counting tells; nobody has measured it.

    budget_gb: what was asked for. levers: name -> options, those asked for and those of `steps`. batch_size: angles at
    once. predicted_gb: the counted peak, phase: of the call, where it is. steps: what was given up, in words; empty
    where everything fitted as it was. not_counted: what takes memory, or moves it, that the count does not know.
    """

    budget_gb: float
    levers: Levers
    batch_size: int
    predicted_gb: float
    phase: str
    steps: tuple[str, ...] = ()
    not_counted: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """For the record, JSON-able."""
        return {
            "budget_gb": self.budget_gb,
            "predicted_gb": round(self.predicted_gb, 3),
            "phase": self.phase,
            "batch_size": self.batch_size,
            "steps": list(self.steps),
            "not_counted": list(self.not_counted),
            "meter": METER,
        }


def fit(budget_gb: float, settings: RunSettings, *, available: Collection[str] = ("free_vae_encoder",)) -> Fit:
    """The least that has to be given up: in order of the resource ladder, and nothing that turns out not to be needed.

    available: those levers of `CONDITIONAL` that can be had here. A plan takes a second or two to count, once on a
    machine. Raises `BudgetTooSmall`.
    """
    asked, limit = dict(settings.levers), budget_gb * 1e9
    most = _batch(settings, asked)
    peaks = [counted(settings, asked, most)]
    if peaks[0].bytes <= limit:
        return _fit(budget_gb, settings, asked, {}, most)
    pulled: Levers = {}
    for name, options in LADDER:
        if name in set(CONDITIONAL) - set(available) or not _can_add(settings, asked, name, options):
            continue
        pulled = {other: o for other, o in pulled.items() if not _exclude({other: o, name: options})} | {name: options}
        for batch in _halves(most):
            peaks.append(counted(settings, asked | pulled, batch))
            if peaks[-1].bytes <= limit:
                return _fit(budget_gb, settings, asked, _needed(settings, asked, pulled, batch, limit), batch)
    least = min(peaks, key=lambda peak: peak.bytes)
    raise BudgetTooSmall(
        f"budget_gb {budget_gb:g}: with everything given up that can be, one angle at a time, the call still takes "
        f"{least.bytes / 1e9:.2f} GB (counted, in the phase {least.phase!r})"
    )


def counted(settings: RunSettings, levers: Levers, batch: int) -> Peak:
    """Tensors of the pipeline with `levers`, `batch` angles at once; without a face adapter's."""
    plan = plan_of(settings, levers, batch)
    peak = remembered_peak(plan)
    return _offloaded(peak) if "model_cpu_offload" in levers else peak


def plan_of(settings: RunSettings, levers: Levers, batch: int) -> Plan:
    """The plan to count, of the networks that the model's own folder describes, SD1.5's where there is none here."""
    call = called(settings, levers)
    steps = plan_steps(call.num_inference_steps, call)
    tiling = levers.get("vae_tiling")
    precision, slicing = levers.get("precision"), levers.get("attention_slicing")
    return Plan(
        images=batch,
        guided=any(step.guided for step in steps),
        controlnet=True,  # its weights are there whether it runs or not
        size=call.size,
        dtype="float32" if precision is None else plugins.load("sdaug.levers", "precision", precision).dtype,
        vae="tiny" if "tiny_vae" in levers else "standard",
        vae_slicing="vae_slicing" in levers,
        vae_tile=None if tiling is None else plugins.load("sdaug.levers", "vae_tiling", tiling).tile,
        encoder_freed="free_vae_encoder" in levers,
        fp8_storage="fp8_storage" in levers,
        int8_linear="int8_weights" in levers,
        attention_slice=(
            None if slicing is None else plugins.load("sdaug.levers", "attention_slicing", slicing).slice_size
        ),
        networks=networks_of(settings.model),
    )


def called(settings: RunSettings, levers: Levers) -> GenerationSettings:
    """What a call runs with: the fields that levers and a few-step LoRA hold stand."""
    held: dict[str, Any] = {}
    if settings.model.lora is not None:
        scale = FEW_STEP[settings.model.lora.kind].guidance_scale
        held |= {"guidance_scale": scale} if scale <= 1 else {}
    for name, options in levers.items():
        fields = plugins.load("sdaug.levers", name, options).model_dump(exclude_none=True)
        held |= {field: value for field, value in fields.items() if field in GenerationSettings.model_fields}
    return GenerationSettings.model_validate(settings.generation.model_dump() | held)


def _batch(settings: RunSettings, levers: Levers) -> int:
    call = called(settings, levers)
    return min(call.batch_size or call.num_angles, call.num_angles)


def _halves(most: int) -> Iterator[int]:
    while most:
        yield most
        most //= 2


def _can_add(settings: RunSettings, asked: Levers, name: str, options: dict[str, Any]) -> bool:
    """Whether a lever would change anything beside those asked for, and is excluded by none of them."""
    larger_than = {"resolution": SMALLER, "vae_tiling": TILE}.get(name, 0)
    if name in asked or called(settings, asked).size <= larger_than:
        return False
    return not _exclude(asked | {name: options})


def _exclude(levers: Levers) -> bool:
    try:
        check_together({name: plugins.load("sdaug.levers", name, options) for name, options in levers.items()})
    except LeverSkipped:
        return True
    return False


def _needed(settings: RunSettings, asked: Levers, pulled: Levers, batch: int, limit: float) -> Levers:
    """`pulled` without what is needless once a later one is pulled, those that change the picture most tried first."""
    for name in reversed(list(pulled)):
        fewer = {other: options for other, options in pulled.items() if other != name}
        if counted(settings, asked | fewer, batch).bytes <= limit:
            pulled = fewer
    return pulled


def _fit(budget_gb: float, settings: RunSettings, asked: Levers, pulled: Levers, batch: int) -> Fit:
    levers = asked | pulled
    if "angle_batch" in levers:  # it would hold what was asked for
        levers |= {"angle_batch": {"batch_size": batch}}
    peak = counted(settings, levers, batch)
    words = [" ".join([_WORDS.get(name, name), *map(str, options.values())]) for name, options in pulled.items()]
    if batch < _batch(settings, asked):
        words.append(f"batch_size {batch}")
    unknown = not_counted(settings, levers)
    return Fit(budget_gb, levers, batch, peak.bytes / 1e9, peak.phase, tuple(words), unknown)


def not_counted(settings: RunSettings, levers: Levers) -> tuple[str, ...]:
    """What of a pipeline with `levers` takes memory, or moves it, that `counted` does not know."""
    unknown = sorted(_NOT_COUNTED & set(levers))
    unknown += ["face_id"] if settings.model.face_id else []
    unknown += ["safety_checker"] if settings.model.safety_checker == "on" else []
    return tuple(unknown)


def _offloaded(peak: Peak) -> Peak:
    """With only the networks of a phase on the GPU: the VAE, or ControlNet with its hints and the UNet."""
    vae, all_ = peak.weights["vae"], sum(peak.weights.values())
    away = {"encode": all_ - vae, "decode": all_ - vae, "hint": vae, "denoise": vae}
    return Peak({phase: size - away[phase] for phase, size in peak.phases.items()}, peak.weights)
