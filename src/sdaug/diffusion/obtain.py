"""A generator loaded, with as little given up for memory as it takes; or the reason why there is none."""

import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdaug.config import RANDOM_MODELS, ModelSettings, RunSettings
from sdaug.diffusion import load
from sdaug.diffusion.budget import BudgetTooSmall, Fit, Levers, fit
from sdaug.diffusion.components import WeightsError
from sdaug.diffusion.descent import forget_frames, out_of_memory
from sdaug.diffusion.generator import DiffusionGenerator
from sdaug.diffusion.libraries import import_libraries
from sdaug.diffusion.reading import find_tiny_vae
from sdaug.diffusion.weights import beside_vae, locate
from sdaug.levers import LeverSkipped
from sdaug.measure.memory import give_back
from sdaug.types import Reason

log = logging.getLogger("sdaug.diffusion")

LOADING_STEPS = ("fp8_storage", "model_cpu_offload")
"""Levers that make loading itself smaller, pulled one after the other where memory runs out in it."""


@dataclass(frozen=True, eq=False)
class Obtained:
    """The diffusion generator, or why it cannot be had.

    levers: what was asked for or, under a budget, chosen. import_s, load_s: seconds that importing the libraries and,
    after it, reading the weights took. fit: None without a budget. face_dim: the
    length of the face embeddings that there are for it.
    """

    generator: DiffusionGenerator | None = None
    unavailable: tuple[Reason, ...] = ()
    message: str = ""
    import_s: float = 0.0
    load_s: float = 0.0
    levers: Levers = field(default_factory=dict)
    fit: Fit | None = None
    face_dim: int | None = None

    def close(self) -> None:
        """Gives the memory back."""
        if self.generator is not None:
            self.generator.close()


def obtain(settings: RunSettings, face_dim: int | None = None, loaded: Obtained | None = None) -> Obtained:
    """The generator that `settings` ask for, under their budget.

    face_dim: the length of the face embedding that a call can bring. A face adapter that wants another one is left out,
    and `facts["degraded"]` says so; under `strict` it is a `ValueError`.
    loaded: from an earlier call with the same model; kept where it will do, closed where it will not. Under `strict`
    what cannot be had is an error: `WeightsError`, `BudgetTooSmall`, or the one that said that memory ran out.
    Raises `LeverSkipped` for a lever that was asked for and does not apply.
    """
    import_s = _import_for(settings.model) if loaded is None else 0.0
    started = time.perf_counter()
    chosen = None
    if settings.budget_gb is not None:
        try:
            chosen = fit(settings.budget_gb, settings, available=_available(settings.model))
        except BudgetTooSmall as error:
            if loaded is not None:
                loaded.close()
            return _unavailable(error, error.reason, settings, {}, face_dim, started)
    levers = settings.levers if chosen is None else chosen.levers
    if loaded is not None:
        same = (loaded.levers, loaded.face_dim) == (levers, face_dim)
        # Weights that were missing stay missing while this lasts; for memory another call may find enough.
        lasting = loaded.unavailable and not settings.strict and Reason.WEIGHTS_MISSING in loaded.unavailable
        if same and (loaded.generator is not None or lasting):
            return replace(loaded, fit=chosen, import_s=0.0, load_s=0.0)
        loaded.close()
    if chosen is not None and chosen.steps:
        log.warning("for a budget of %g GB: %s", settings.budget_gb, ", ".join(chosen.steps))
    try:
        generator = _with_this_face(settings, levers, face_dim)
    except WeightsError as error:
        return _unavailable(error, error.reason, settings, levers, face_dim, started)
    except Exception as error:
        if settings.strict or not out_of_memory(error):
            raise
        return _unavailable(error, Reason.OUT_OF_MEMORY, settings, levers, face_dim, started)
    found = Obtained(generator, (), "", import_s, time.perf_counter() - started, levers, chosen, face_dim)
    log.info(
        "diffusion on %s in %s, loaded in %.1f s", generator.facts["device"], generator.facts["dtype"], found.load_s
    )
    return found


def _import_for(model: ModelSettings) -> float:
    """Seconds that importing the libraries took; who has no weights need not wait for them."""
    try:
        locate(model)
    except WeightsError:  # loading will say so
        return 0.0
    return import_libraries()


def _with_this_face(settings: RunSettings, levers: Levers, face_dim: int | None) -> DiffusionGenerator:
    generator = _load(settings, levers)
    wanted = generator.adapters.embedding_dim
    if wanted in (None, face_dim):
        return generator
    generator.close()
    problem = f"the face adapter wants {wanted} numbers a face, the face pack's recogniser gives {face_dim}"
    if settings.strict:
        raise ValueError(problem)
    log.warning("no face adapter: %s", problem)
    generator = _load(
        settings.model_copy(update={"model": settings.model.model_copy(update={"face_id": None})}), levers
    )
    generator.facts["degraded"].append(Reason.FACE_ADAPTER_MISFIT.value)
    return generator


def _load(settings: RunSettings, levers: Levers) -> DiffusionGenerator:
    """With the first of `LOADING_STEPS` under which memory suffices; raises the last error where it never does."""
    left, taken = [name for name in LOADING_STEPS if name not in levers], []
    problem: Exception | None = None
    while True:
        try:
            generator = load.load_generator(settings.model, levers | {name: {} for name in taken})
        except LeverSkipped as skipped:
            if problem is None:
                raise
            # Its words alone: whoever keeps log records would keep the error, its frames and their tensors.
            log.warning("out of memory while loading, and %s does not help: %s", taken.pop(), str(skipped))
        except Exception as error:
            if not out_of_memory(error):
                raise
            forget_frames(error)
            if settings.strict:
                raise error
            problem = error
        else:
            generator.facts["resource_steps"] = taken
            return generator
        give_back()
        if not left:
            raise problem
        taken.append(left.pop(0))
        log.warning("out of memory while loading; again with %s (%s)", ", ".join(taken), problem)


def _unavailable(
    error: Exception, reason: Reason, settings: RunSettings, levers: Levers, face_dim: int | None, started: float
) -> Obtained:
    if settings.strict:
        raise error
    log.warning("no diffusion (%s), using the warp: %s", reason.value, error)
    return Obtained(None, (reason,), str(error), load_s=time.perf_counter() - started, levers=levers, face_dim=face_dim)


def _available(model: ModelSettings) -> set[str]:
    """Those of `budget.CONDITIONAL` that this machine has, as far as can be told before loading."""
    import torch

    found = set()
    device = torch.device(model.device)
    if device.type == "cuda" and torch.cuda.is_available():
        if not torch.cuda.get_device_properties(device).is_integrated:
            found |= {"model_cpu_offload", "free_vae_encoder"}
    try:
        files = locate(model)
    except WeightsError:  # loading will say so
        files = {}
    if "vae" not in files or files["vae"].suffix == ".safetensors":
        found.add("free_vae_encoder")
    return found | ({"tiny_vae"} if _tiny_vae_is_here(model, files) else set())


def _tiny_vae_is_here(model: ModelSettings, files: dict[str, Path]) -> bool:
    if model.model_id in RANDOM_MODELS:
        return True  # they make their own
    try:
        find_tiny_vae(None, beside=beside_vae(files))
    except WeightsError:
        return False
    return True
