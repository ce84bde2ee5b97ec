"""Few-step LoRAs: which there are, what each wants of a call, how a file is read, and how it is fused into a UNet.

Fusing is done here and not by diffusers and `peft`: an attention layer's own alpha does not reach it there (its key
keeps the name of the attention processor), loading FaceID switches an earlier LoRA off, and without `peft` FaceID's own
part is dropped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdaug.config import LoraKind, SchedulerName
from sdaug.diffusion.adapter_files import check_shapes
from sdaug.diffusion.components import WeightsInvalid


@dataclass(frozen=True)
class FewStep:
    """A way of distilling, as its authors' model card has it.

    guidance_scale: 1 where the LoRA has guidance distilled into it and must run without. num_inference_steps: what it
    is used with; not enforced, since low strengths run only the last of them.
    """

    lora_id: str
    weight_name: str
    scheduler: SchedulerName
    guidance_scale: float
    num_inference_steps: int


FEW_STEP: dict[LoraKind, FewStep] = {
    # Model card: LCMScheduler, 2 to 8 steps, guidance off or at most 2, where the negative prompt counts for nothing.
    "lcm": FewStep("latent-consistency/lcm-lora-sdv1-5", "pytorch_lora_weights.safetensors", "lcm", 1.0, 4),
    # Model card: DDIM with trailing spacing and guidance 0 for the files of a fixed number of steps, TCDScheduler only
    # for the unified one-step file; "support 5~8 guidance scales" for the CFG-preserved one.
    "hyper_sd_4_steps": FewStep("ByteDance/Hyper-SD", "Hyper-SD15-4steps-lora.safetensors", "ddim_trailing", 1.0, 4),
    "hyper_sd_8_steps_cfg": FewStep(
        "ByteDance/Hyper-SD", "Hyper-SD15-8steps-CFG-lora.safetensors", "ddim_trailing", 5.0, 8
    ),
}


@dataclass(frozen=True, eq=False)
class LowRank:
    """One layer's change, factor * up @ down.

    layer: its name in the UNet. down: (r, inputs, *kernel), up: (outputs, r, 1...), tensors.
    """

    layer: str
    down: Any
    up: Any
    factor: float = 1.0


_HALVES = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "alpha": "alpha",
}


def read_layers(path: Path, tensors: Mapping[str, Any], unet: Any) -> list[LowRank]:
    """The changes that a LoRA file holds, under kohya's names (`lora_unet_...`), peft's or diffusers' (`unet. ...`).

    The factor is alpha / rank, 1 for a layer without alpha. `WeightsInvalid` unless every tensor belongs to a layer of
    `unet` and fits it.
    """
    layers = {
        name[:-7]: weight for name, weight in unet.named_parameters() if name.endswith(".weight") and weight.ndim > 1
    }
    known = {f"unet.{name}": name for name in layers} | {f"lora_unet_{name.replace('.', '_')}": name for name in layers}
    found: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        suffix = next((s for s in _HALVES if name.endswith(f".{s}")), None)
        layer = known.get(name.removesuffix(f".{suffix}"))
        if suffix is None or layer is None:
            raise WeightsInvalid(f"{path} does not fit: {name} belongs to no layer of this UNet")
        found.setdefault(layer, {})[_HALVES[suffix]] = tensor
    if not found:
        raise WeightsInvalid(f"{path} holds no tensor")
    changes = []
    for layer, parts in found.items():
        outputs, inputs, *kernel = layers[layer].shape
        rank = len(parts["down"]) if "down" in parts else 0
        expected = {"down": (rank, inputs, *kernel), "up": (outputs, rank, *(1 for _ in kernel))}
        alpha = float(parts.pop("alpha", rank))
        check_shapes(
            path, {f"{layer} {n}": t for n, t in parts.items()}, {f"{layer} {n}": s for n, s in expected.items()}
        )
        changes.append(LowRank(layer, **parts, factor=alpha / rank))
    return changes


def fuse(unet: Any, changes: Iterable[LowRank], scale: float) -> None:
    """Add `scale` times each change to its layer's weights in place, in float32, rounded once to their own format."""
    import torch

    with torch.no_grad():
        for change in changes:
            weight = unet.get_submodule(change.layer).weight
            product = change.up.float().flatten(1) @ change.down.float().flatten(1)
            weight.copy_(weight.float() + (scale * change.factor * product).reshape(weight.shape))
