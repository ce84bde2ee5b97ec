"""What a call takes at least on the device that is here: its counted arithmetic at the device's peak."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import psutil

from sdaug.config import ModelSettings
from sdaug.costmodel.calibration import peak_gflops
from sdaug.costmodel.device import Device, find_device, load_device
from sdaug.costmodel.networks import Variant
from sdaug.costmodel.parts import PartName, count_part
from sdaug.costmodel.roofline import floor_seconds
from sdaug.diffusion.described import networks_of
from sdaug.types import Augmentation

BOARD = Path("/proc/device-tree")


def call_floor_s(
    passes: Mapping[str, int],
    model: ModelSettings,
    levers: Mapping[str, Any],
    *,
    size: int,
    dtype: str,
    device: str,
    vae: Literal["standard", "tiny"] = "standard",
) -> float | None:
    """Seconds; None where the device's peak is not known, or the networks are not counted.

    passes: images by network, of `measure.passes`; those that have no part here are left out. dtype: a torch dtype's
    name. device: a torch device's. vae: which one decoded.
    """
    if model.model_id == "random" or not passes:
        return None
    parts: dict[str, PartName] = {
        "unet": "unet", "controlnet": "controlnet", "decode": "vae_decode" if vae == "standard" else "tiny_decode",
    }  # fmt: skip
    variant = Variant(networks=networks_of(model))
    flops = sum(n * count_part(parts[name], size=size, variant=variant).flops for name, n in passes.items())
    if "onnx_engine" in levers:  # it may use any units of a GPU, and any number of a processor's threads
        return None if device == "cpu" else at_peak_s(flops, "int8", device)
    return at_peak_s(flops, dtype, device)


def record_floor_s(record: Augmentation, model: ModelSettings) -> float | None:
    """Of the call that `record` is of; None where it made nothing by diffusion, or stepped down for want of memory."""
    if not record.passes or record.generator["model"].get("resource_steps"):
        return None
    ran, asked = record.generator["model"], record.generator["settings"]
    return call_floor_s(
        record.passes,
        model,
        ran["levers"],
        size=ran["call"].get("size", asked["size"]),
        dtype=ran["dtype"],
        device=ran["device"],
        vae="tiny" if "tiny_vae" in ran["levers"] else "standard",
    )


def at_peak_s(flops: float, dtype: str, device: str) -> float | None:
    """Seconds of `flops` in the fastest units that `dtype` may use; None for a GPU that no data file knows."""
    if device == "cpu":
        import torch

        return flops / (peak_gflops(torch.get_num_threads())[dtype] * 1e9)
    here = device_here(device)
    if here is None:
        return None
    # A board does not tell its power mode by name: the fastest stands for all.
    modes = [load_device(f"{here.name}:{mode}") for mode in here.modes] or [here]
    return min(floor_seconds(flops, mode, dtype) for mode in modes)


def device_here(device: str, board: Path = BOARD) -> Device | None:
    """The data file of the GPU `device`: by the board's name in the device tree (Jetson), else by the driver's; None
    where no file knows it."""
    import torch

    if (board / "model").is_file():
        # Boards of one model differ by their module, which only the other file names.
        names = (board / name for name in ("model", "compatible"))
        texts = [path.read_text(encoding="utf-8") for path in names if path.is_file()]
        told = " ".join(" ".join(texts).split("\0")).strip()
        return find_device(told, psutil.virtual_memory().total / 1e9)
    return find_device(torch.cuda.get_device_name(device), torch.cuda.get_device_properties(device).total_memory / 1e9)
