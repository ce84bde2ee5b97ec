"""What diffusion weights are once read, and the errors that say why they could not be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdaug.types import Reason

SafetyState = Literal["on", "off", "absent"]


class WeightsError(RuntimeError):
    """Weights that cannot be used. `reason` says why in one word, the message names the file or the hub id."""

    reason: Reason


class WeightsMissing(WeightsError):
    """Neither here nor to be had: no such folder, not in the hub's cache, hub unreachable or without it."""

    reason = Reason.WEIGHTS_MISSING


class WeightsInvalid(WeightsError):
    """Here, but damaged, pickled, incomplete or of another architecture."""

    reason = Reason.WEIGHTS_INVALID


@dataclass(frozen=True)
class TextFiles:
    """A text encoder and its tokenizer on disk: checked, not read.

    weights: the encoder's file; tokenizer: a folder. width: D of the embeddings. digests: sha256 of the weight file, of
    the config.json beside it, and of the tokenizer's files together.
    """

    weights: Path
    tokenizer: Path
    width: int
    digests: dict[str, str]


@dataclass(frozen=True, eq=False)
class Components:
    """The networks of one SD1.5 + ControlNet on the CPU, in evaluation mode, in the number format asked for.

    text: what encodes prompts, None where `prompt_embeds`, `negative_prompt_embeds` ((1, 77, D) float32) are there.
    files: the weight file of each network. digests: their sha256, or that of the network's random state.
    pickled: networks read from a pickle, since that was asked for. safety_checker: None unless `safety` is "on";
    "absent": asked for, but the model has none. random: nobody trained these. make_tiny_vae, make_vae_encoder: of a
    random model, in a number format by name: an AutoencoderTiny and its digest, the VAE encoder's half of its state.
    """

    unet: Any
    controlnet: Any
    vae: Any
    scheduler: Any
    digests: dict[str, str]
    files: dict[str, Path] = field(default_factory=dict)
    pickled: tuple[str, ...] = ()
    random: bool = False
    text: TextFiles | None = None
    prompt_embeds: Any = None
    negative_prompt_embeds: Any = None
    safety_checker: Any = None
    safety: SafetyState = "absent"
    make_tiny_vae: Callable[[str], tuple[Any, str]] | None = None
    make_vae_encoder: Callable[[str], dict[str, Any]] | None = None
