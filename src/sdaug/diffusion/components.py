"""What diffusion weights are once read, and the errors that say why they could not be."""

from dataclasses import dataclass
from typing import Any

from sdaug.types import Reason


class WeightsError(RuntimeError):
    """Weights that cannot be used. `reason` says why in one word, the message names the file or the hub id."""

    reason: Reason


class WeightsMissing(WeightsError):
    """Neither here nor to be had: no such folder, not in the hub's cache, hub unreachable or without it."""

    reason = Reason.WEIGHTS_MISSING


class WeightsInvalid(WeightsError):
    """Here, but damaged, pickled, incomplete or of another architecture."""

    reason = Reason.WEIGHTS_INVALID


@dataclass(frozen=True, eq=False)
class Components:
    """The networks of one SD1.5 + ControlNet, float32 on the CPU, in evaluation mode.

    prompt_embeds: (1, 77, D) float32, or None where `tokenizer` and `text_encoder` are to make them.
    digests: sha256 of each network's weight file, or of its random state. random: nobody trained these.
    """

    unet: Any
    controlnet: Any
    vae: Any
    scheduler: Any
    digests: dict[str, str]
    random: bool = False
    tokenizer: Any = None
    text_encoder: Any = None
    prompt_embeds: Any = None
    negative_prompt_embeds: Any = None
