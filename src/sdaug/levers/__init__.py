"""Levers: what is done to a loaded pipeline before it runs, one optimisation a file."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from sdaug.config import Config

Stage = Literal["weights", "storage", "device"]
"""When a lever is applied. `weights`: networks just read, on the CPU. `storage`: then, what their numbers are kept in.
`device`: once they are where they run."""


class LeverSkipped(Exception):
    """The lever cannot apply to this pipeline on this machine; the message is the reason. A result, not a fault."""


@dataclass(eq=False)
class Pipeline:
    """What the denoising loop runs, and what levers change in place.

    unet, controlnet: called like diffusers' UNet2DConditionModel and ControlNetModel, except that `controlnet_cond` is
    what `hint` made of the control image: (B, 3, S, S) float 0..1 in, (B, C, S/8, S/8) out, once a call and not once a
    step. vae: AutoencoderKL or AutoencoderTiny. scheduler: the model's own; a call may choose another.
    device, dtype: where and in which torch dtype the networks compute. placed: whether they have moved there, or are
    moved by hooks of a lever's own. random: nobody trained these weights.
    prompt_cache: a folder, or None where prompts are encoded at every load.
    call: fields of GenerationSettings that stand whatever a call asks for.
    encoding: what surrounds encoding the photo. after_call: what is done when a batch is through, or has failed.
    undo: what `close` has to call before it drops the networks.
    """

    unet: Any
    controlnet: Any
    hint: Any
    vae: Any
    scheduler: Any
    device: Any
    dtype: Any
    random: bool = False
    placed: bool = False
    prompt_cache: Any = None
    call: dict[str, Any] = field(default_factory=dict)
    encoding: Callable[[], AbstractContextManager[Any]] = nullcontext
    after_call: list[Callable[[], None]] = field(default_factory=list)
    undo: list[Callable[[], None]] = field(default_factory=list)

    @property
    def networks(self) -> dict[str, Any]:
        """Every network by name, in the order in which a call runs them."""
        return {"vae": self.vae, "hint": self.hint, "controlnet": self.controlnet, "unet": self.unet}


class AbstractLever(Config, ABC):
    """Base of every lever: a frozen config that changes a pipeline in place, once, and is never undone.

    docs: the lever's docstring without indentation; it must say what the lever trades.
    """

    docs: ClassVar[str] = ""
    stage: ClassVar[Stage] = "device"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls.docs = inspect.cleandoc(cls.__doc__ or "")

    @abstractmethod
    def apply(self, pipeline: Pipeline) -> None:
        """Change `pipeline`. Raises `LeverSkipped` where the lever does not apply."""
