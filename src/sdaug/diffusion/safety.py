"""Stable Diffusion's safety checker: images whose CLIP embedding is too near one of its concepts are flagged."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.config import ModelSettings
from sdaug.diffusion.components import WeightsInvalid, WeightsMissing
from sdaug.diffusion.hub import find_folder
from sdaug.diffusion.layout import NETWORKS, check_network
from sdaug.diffusion.reading import read_network

log = logging.getLogger("sdaug.diffusion")

FILES = ["safety_checker/config.json", f"safety_checker/{NETWORKS['safety_checker'][1]}.safetensors"]
FILES += ["feature_extractor/preprocessor_config.json"]
"""What of the model's repository the checker is read from."""


@dataclass(frozen=True, eq=False)
class SafetyChecker:
    """The checker's network, float32 on the CPU, and CLIP's image processor."""

    network: Any
    processor: Any


def find_safety_checker(model: ModelSettings, folder: Path) -> Path | None:
    """The checker's weight file in the model's `folder`, None where it is off or the model has none (which is logged).

    Raises `WeightsInvalid` for a checker that is damaged or of another class.
    """
    if model.safety_checker == "off":
        return None
    checker = folder / "safety_checker"
    if not checker.is_dir() and not Path(model.model_id).expanduser().is_dir():
        try:
            found = find_folder(model.model_id, model.pinned_revision, FILES, allow_pickle=model.allow_pickle)
            checker = found / "safety_checker"
        except WeightsMissing as error:
            log.warning("no safety checker: %s", error)
            return None
    if not checker.is_dir():
        log.warning("no safety checker: %s has no folder safety_checker", folder)
        return None
    path = check_network(checker, "safety_checker", allow_pickle=model.allow_pickle)
    settings = checker.parent / "feature_extractor" / "preprocessor_config.json"
    if not settings.is_file():
        raise WeightsInvalid(f"{settings} is missing; the safety checker needs it")
    return path


def read_safety_checker(path: Path) -> SafetyChecker:
    """The checker in the file that `find_safety_checker` found. Raises `WeightsInvalid`."""
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor.from_pretrained(path.parents[1] / "feature_extractor", local_files_only=True)
    return SafetyChecker(read_network("safety_checker", path), processor)


def check_images(checker: SafetyChecker, images: np.ndarray) -> list[bool]:
    """For each of `images`, (B, H, W, 3) uint8 RGB, whether it is flagged. The images stay as they are.

    By Stable Diffusion's own rule: flagged when the cosine to any of 17 concepts is above that concept's threshold,
    each lower by 0.01 once one of three special concepts is above its own.
    Raises `ValueError` for images of another kind, and `FloatingPointError` where an embedding is not finite.
    """
    import torch

    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype} {images.shape}; uint8 (B, H, W, 3) expected")
    pixels = checker.processor(images=list(images), return_tensors="pt").pixel_values
    network = checker.network
    with torch.inference_mode():
        embeds = network.visual_projection(network.vision_model(pixels)[1])
        if not embeds.isfinite().all():  # a comparison with NaN is false: nothing would ever be flagged
            raise FloatingPointError("the safety checker's embedding of an image is not finite")
        embeds = torch.nn.functional.normalize(embeds)
        special = _above(embeds, network.special_care_embeds, network.special_care_embeds_weights, 0.0)
        nearer = 0.01 * special.any(1, keepdim=True)
        return _above(embeds, network.concept_embeds, network.concept_embeds_weights, nearer).any(1).tolist()


def _above(embeds: Any, concepts: Any, thresholds: Any, nearer: Any) -> Any:
    """(B, concepts): whether the cosine, rounded to three digits as the original rounds, is above the threshold."""
    import torch

    cosines = embeds @ torch.nn.functional.normalize(concepts).T
    return torch.round(cosines - thresholds + nearer, decimals=3) > 0
