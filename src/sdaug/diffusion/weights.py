"""Diffusion weights by the names in `ModelSettings`: all files found and checked first, then the networks read."""

import hashlib
from pathlib import Path

from sdaug.config import DEFAULT_CONTROLNET, RANDOM_MODELS, ModelSettings
from sdaug.diffusion.components import Components, TextFiles, WeightsError, WeightsInvalid, WeightsMissing
from sdaug.diffusion.full_size import full_size_components
from sdaug.diffusion.hub import find_folder
from sdaug.diffusion.layout import NETWORKS, check_fit, check_network, check_tokenizer, read_json
from sdaug.diffusion.random_model import random_components
from sdaug.diffusion.reading import Dtype, read_network, read_scheduler
from sdaug.diffusion.safety import find_safety_checker, read_safety_checker
from sdaug.measure.digest import file_sha256
from sdaug.measure.remembered import remembered_sha256

__all__ = [
    "Components", "WeightsError", "WeightsInvalid", "WeightsMissing", "load_components", "locate", "random_components",
]  # fmt: skip

MODEL_FILES = [
    f"{n}/{f}" for n in ("unet", "vae", "text_encoder") for f in ("config.json", f"{NETWORKS[n][1]}.safetensors")
]
MODEL_FILES += ["scheduler/*.json", "tokenizer/*.json", "tokenizer/*.txt"]
UNET_SUBFOLDER = "arc2face"
"""Where a stand-in UNet lies unless it is said."""


def load_components(model: ModelSettings, dtype: Dtype = "float32") -> Components:
    """The components that `model` names. Raises `WeightsMissing` or `WeightsInvalid`.

    dtype: of UNet, ControlNet and VAE, whatever their files hold. The text encoder is not read (`prompts.py` does,
    when it must), the safety checker only when it is on. An unset revision stays unset: the hub's main branch. A
    model folder may hold its ControlNet as `controlnet/`, used when `controlnet_id` is left at its default.
    """
    if model.model_id == "random":
        return _as(random_components(), dtype)
    if model.model_id == "random-sd15":
        return full_size_components(dtype)
    files = locate(model)
    folder = files["text_encoder"].parents[1]
    scheduler = read_scheduler(folder / "scheduler")
    safety = find_safety_checker(model, folder)
    return _read(files, scheduler, safety, dtype, asked=model.safety_checker == "on")


def locate(model: ModelSettings) -> dict[str, Path]:
    """The weight files that `load_components` would read, by network, checked as far as their headers tell.

    Raises `WeightsMissing` or `WeightsInvalid`.

    >>> locate(ModelSettings(model_id="random"))
    {}
    """
    if model.model_id in RANDOM_MODELS:
        return {}
    folder = find_folder(model.model_id, model.pinned_revision, MODEL_FILES, allow_pickle=model.allow_pickle)
    folders = {name: folder / name for name in ("unet", "vae", "text_encoder")}
    if model.unet_id is not None:
        folders["unet"] = _unet_folder(model)
    files = {name: check_network(path, name, allow_pickle=model.allow_pickle) for name, path in folders.items()}
    check_tokenizer(folder / "tokenizer")
    read_json(folder / "scheduler" / "scheduler_config.json")
    folders["controlnet"] = _controlnet_folder(model, folder)
    files["controlnet"] = check_network(folders["controlnet"], "controlnet", allow_pickle=model.allow_pickle)
    check_fit(folders)
    return files


def beside_vae(files: dict[str, Path]) -> Path | None:
    """Where a model that brings a tiny VAE of its own keeps it, for the files of `locate`."""
    return files["vae"].parents[1] / "tiny_vae" if "vae" in files else None


def _unet_folder(model: ModelSettings) -> Path:
    """Where the UNet lies that stands in for the model's own; a local folder may hold it as unet/ or at its top."""
    subfolder = model.unet_subfolder or UNET_SUBFOLDER
    wanted = [f"{subfolder}/config.json", f"{subfolder}/{NETWORKS['unet'][1]}.safetensors"]
    folder = find_folder(str(model.unet_id), model.unet_revision, wanted, allow_pickle=model.allow_pickle)
    if model.unet_subfolder:
        return folder / model.unet_subfolder
    return next((folder / name for name in (UNET_SUBFOLDER, "unet") if (folder / name).is_dir()), folder)


def _controlnet_folder(model: ModelSettings, folder: Path) -> Path:
    beside = folder / "controlnet"
    if model.controlnet_id == DEFAULT_CONTROLNET and beside.is_dir():
        return beside
    prefix = f"{model.weights_subfolder}/" if model.weights_subfolder else ""
    wanted = [f"{prefix}config.json", f"{prefix}{NETWORKS['controlnet'][1]}.safetensors"]
    revision, pickle = model.pinned_controlnet_revision, model.allow_pickle
    folder = find_folder(model.controlnet_id, revision, wanted, allow_pickle=pickle)
    # The default subfolder is the hub ControlNet's; a local folder need not have it.
    return folder / prefix if (folder / prefix).is_dir() else folder


def _read(files: dict[str, Path], scheduler: object, safety: Path | None, dtype: Dtype, asked: bool) -> Components:
    digests = {name: remembered_sha256(path) for name, path in files.items()}
    read = {name: read_network(name, files[name], dtype) for name in ("unet", "controlnet", "vae")}
    text = files["text_encoder"]
    tokenizer = text.parents[1] / "tokenizer"
    return Components(
        **read,
        scheduler=scheduler,
        digests=digests | ({"safety_checker": remembered_sha256(safety)} if safety else {}),
        files=files,
        pickled=tuple(name for name, path in files.items() if path.suffix != ".safetensors"),
        text=TextFiles(
            weights=text,
            tokenizer=tokenizer,
            width=read_json(text.parent / "config.json")["hidden_size"],
            digests={
                "text_encoder": digests["text_encoder"],
                "text_encoder_config": file_sha256(text.parent / "config.json"),
                "tokenizer": _tokenizer_sha256(tokenizer),
            },
        ),
        safety_checker=read_safety_checker(safety) if safety else None,
        safety="on" if safety else "absent" if asked else "off",
    )


def _as(parts: Components, dtype: Dtype) -> Components:
    import torch

    for network in (parts.unet, parts.controlnet, parts.vae):
        # torch's own `to`: diffusers' warns about an empty list of modules that should stay in float32.
        torch.nn.Module.to(network, dtype=getattr(torch, dtype))
    return parts


def _tokenizer_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.txt")]):
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
