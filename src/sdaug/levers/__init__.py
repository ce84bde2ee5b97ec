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

Quantity = Literal[
    "weight_bytes", "peak_bytes", "flops", "launches", "bytes_moved", "unet_runs", "unet_images", "controlnet_runs",
    "controlnet_images", "vae_pixels", "text_encoder_bytes", "channels_last", "compiled",
]  # fmt: skip
"""What can be counted of a load, and of a call whose photo is encoded already, whatever the machine.

weight_bytes: of all networks, while the UNet runs. peak_bytes: the most that weights and the call's own tensors take
together. flops, launches, bytes_moved: as `costmodel.count` has them. unet_runs, controlnet_runs: forward passes;
unet_images, controlnet_images: what they saw together, a guided image twice. vae_pixels: decoded, those of overlapping
tiles each time. text_encoder_bytes: read from its file when the model is loaded. channels_last: whether most of
the UNet's convolutions run on (N, H, W, C) memory. compiled: graphs that a compiler made.
Memory and work are PyTorch's: what an engine holds and does outside it is not in them.
"""

Change = Literal["less", "more", "varies"]
"""varies: it depends on the proportions of the model."""

Answer = Literal["same", "coarser", "nearby", "other"]
"""What a lever does to the picture. same: the last bits at most, 1e-4 where pixels are -1..1. coarser: numbers of
fewer bits, the same picture to the eye. nearby: less is computed, and the picture moves. other: another picture."""


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
    digests: sha256 of what each network was read from. read_vae_encoder: the VAE encoder's half of its state, by
    `dtype_name`; None where it cannot be read alone. read_tiny_vae: an AutoencoderTiny and its sha256, by hub id or
    folder (None is the model's own, else TAESD), revision and `dtype_name`; None where there is none.
    call: fields of GenerationSettings that stand whatever a call asks for; set by `hold`. caps: the most of a field
    that is run, since memory ran out with more.
    encoding: what surrounds encoding the photo. after_call: what is done when a batch is through, or has failed.
    spare: gives up memory that later calls would take anew; called when it has run out. undo: what `put_back` calls
    before the networks are dropped.
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
    digests: dict[str, str] = field(default_factory=dict)
    read_vae_encoder: Callable[[Any], dict[str, Any]] | None = None
    read_tiny_vae: Callable[[str | None, str | None, Any], tuple[Any, str]] | None = None
    call: dict[str, Any] = field(default_factory=dict)
    caps: dict[str, int] = field(default_factory=dict)
    encoding: Callable[[], AbstractContextManager[Any]] = nullcontext
    after_call: list[Callable[[], None]] = field(default_factory=list)
    spare: list[Callable[[], None]] = field(default_factory=list)
    undo: list[Callable[[], None]] = field(default_factory=list)

    @property
    def networks(self) -> dict[str, Any]:
        """Every network by name, in the order in which a call runs them."""
        return {"vae": self.vae, "hint": self.hint, "controlnet": self.controlnet, "unet": self.unet}

    @property
    def dtype_name(self) -> str:
        """`dtype` as a word: "float16"."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def memory_of_its_own(self) -> bool:
        """Whether the device's memory is apart from the processor's: a GPU card's is, a Jetson's and a CPU's is not."""
        import torch

        return self.device.type == "cuda" and not torch.cuda.get_device_properties(self.device).is_integrated

    def hold(self, **fields: Any) -> None:
        """Make these fields of GenerationSettings stand. Raises `LeverSkipped` where one is held at another value."""
        for name, value in fields.items():
            if self.call.get(name, value) != value:
                raise LeverSkipped(f"{name} is held at {self.call[name]!r} already; {value!r} cannot be too")
        self.call.update(fields)

    def put_back(self) -> None:
        """What levers changed outside this pipeline, as it was, the last change first; whoever made it calls this."""
        while self.undo:
            self.undo.pop()()


class AbstractLever(Config, ABC):
    """Base of every lever: a frozen config that changes a pipeline in place, once, and is never undone.

    docs: the lever's docstring without indentation; it must say what the lever trades.
    claims: what its default options do to a call of several angles with guidance; every other quantity stays the same.
    excludes: levers that it cannot be had with, and why.
    """

    docs: ClassVar[str] = ""
    stage: ClassVar[Stage] = "device"
    claims: ClassVar[dict[Quantity, Change]] = {}
    answer: ClassVar[Answer] = "same"
    excludes: ClassVar[dict[str, str]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls.docs = inspect.cleandoc(cls.__doc__ or "")

    @abstractmethod
    def apply(self, pipeline: Pipeline) -> None:
        """Change `pipeline`. Raises `LeverSkipped` where the lever does not apply."""


def check_together(levers: dict[str, AbstractLever]) -> None:
    """Raises `LeverSkipped` for two levers by name that exclude each other."""
    for name, lever in levers.items():
        for other, why in lever.excludes.items():
            if other in levers:
                raise LeverSkipped(f"{name} and {other} exclude each other: {why}")
