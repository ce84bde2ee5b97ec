"""Reading diffusion weights from a folder in diffusers layout. What can be known without reading them comes first:
the files, their headers, the networks' classes, and the sizes that must fit."""

import json
from pathlib import Path
from typing import Any

from sdaug.config import DEFAULT_CONTROLNET, ModelSettings
from sdaug.measure.digest import file_sha256
from sdaug.diffusion.components import Components, WeightsError, WeightsInvalid, WeightsMissing
from sdaug.diffusion.hub import find_folder
from sdaug.diffusion.random_model import random_components

__all__ = [
    "Components", "WeightsError", "WeightsInvalid", "WeightsMissing", "load_components", "locate", "random_components",
]  # fmt: skip

_NETWORKS = {
    "unet": ("UNet2DConditionModel", "diffusion_pytorch_model"),
    "controlnet": ("ControlNetModel", "diffusion_pytorch_model"),
    "vae": ("AutoencoderKL", "diffusion_pytorch_model"),
    "text_encoder": ("CLIPTextModel", "model"),
}
_MODEL_FILES = [
    f"{n}/{f}" for n in ("unet", "vae", "text_encoder") for f in ("config.json", f"{_NETWORKS[n][1]}.safetensors")
]
_MODEL_FILES += ["scheduler/*.json", "tokenizer/*.json", "tokenizer/*.txt"]


def load_components(model: ModelSettings) -> Components:
    """The components that `model` names, downloaded if need be. Raises `WeightsMissing` or `WeightsInvalid`.

    An unset revision stays unset: the hub's main branch. A local model folder may hold its ControlNet as
    `controlnet/`, used when `controlnet_id` is left at its default.
    """
    if model.model_id == "random":
        return random_components()
    files = locate(model, download=True)
    folder = files["unet"].parents[1]
    return _read(files, folder / "tokenizer", _read_scheduler(folder / "scheduler"))


def locate(model: ModelSettings, *, download: bool = False) -> dict[str, Path]:
    """The weight files that `load_components` would read, by network, checked as far as their headers tell.

    download: whether the hub may be asked for what its cache lacks. Raises `WeightsMissing` or `WeightsInvalid`.

    >>> locate(ModelSettings(model_id="random"))
    {}
    """
    if model.model_id == "random":
        return {}
    folder = find_folder(model.model_id, model.pinned_revision, _MODEL_FILES, download=download)
    files = {name: _check_network(folder / name, *_NETWORKS[name]) for name in ("unet", "vae", "text_encoder")}
    _check_tokenizer(folder / "tokenizer")
    _json(folder / "scheduler" / "scheduler_config.json")
    files["controlnet"] = _check_network(_controlnet_folder(model, download), *_NETWORKS["controlnet"])
    _check_fit({name: path.parent for name, path in files.items()})
    return files


def _controlnet_folder(model: ModelSettings, download: bool) -> Path:
    beside = Path(model.model_id).expanduser() / "controlnet"
    if model.controlnet_id == DEFAULT_CONTROLNET and beside.is_dir():
        return beside
    prefix = f"{model.weights_subfolder}/" if model.weights_subfolder else ""
    wanted = [f"{prefix}config.json", f"{prefix}diffusion_pytorch_model.safetensors"]
    folder = find_folder(model.controlnet_id, model.pinned_controlnet_revision, wanted, download=download)
    # The default subfolder is the hub ControlNet's; a local folder need not have it.
    return folder / prefix if (folder / prefix).is_dir() else folder


def _check_network(folder: Path, class_name: str, stem: str) -> Path:
    """The weight file of one network, its header read and its class as expected; or `WeightsInvalid`."""
    from safetensors import SafetensorError, safe_open

    config = _json(folder / "config.json")
    found = config.get("_class_name") or ", ".join(config.get("architectures") or ["none"])
    if found != class_name:
        raise WeightsInvalid(f"{folder / 'config.json'} describes {found}; {class_name} expected")
    candidates = [folder / f"{stem}.safetensors", folder / f"{stem}.fp16.safetensors"]
    path = next((c for c in candidates if c.is_file()), None)
    if path is None:
        pickled = next(iter(sorted(folder.glob("*.bin"))), None)
        if pickled:
            raise WeightsInvalid(f"{pickled} is a pickle, which is never read; {candidates[0].name} expected beside it")
        raise WeightsInvalid(f"{candidates[0]} is missing")
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise WeightsInvalid(f"{path} is damaged or cut short: {error}") from error
    return path


def _check_tokenizer(folder: Path) -> None:
    if not (folder / "tokenizer.json").is_file():
        for name in ("vocab.json", "merges.txt"):
            if not (folder / name).is_file():
                raise WeightsInvalid(f"{folder / name} is missing")


def _check_fit(folders: dict[str, Path]) -> None:
    """That the networks are SD1.5's kind and belong together, by their configurations alone."""
    unet, controlnet, vae, text = (
        _json(folders[name] / "config.json") for name in ("unet", "controlnet", "vae", "text_encoder")
    )
    shared = ("block_out_channels", "layers_per_block", "cross_attention_dim")
    for name, key, found, wanted in (
        ("unet", "in_channels", unet.get("in_channels"), 4),
        ("unet", "addition_embed_type", unet.get("addition_embed_type"), None),
        ("vae", "latent_channels", vae.get("latent_channels"), 4),
        ("vae", "number of block_out_channels", len(vae.get("block_out_channels", [])), 4),
        ("controlnet", "in_channels", controlnet.get("in_channels"), 4),
        ("controlnet", "conditioning_channels", controlnet.get("conditioning_channels", 3), 3),
        *(("controlnet", key, controlnet.get(key), unet.get(key)) for key in shared),
        ("text_encoder", "hidden_size", text.get("hidden_size"), unet.get("cross_attention_dim")),
    ):  # fmt: skip
        if found != wanted:
            raise WeightsInvalid(f"{folders[name] / 'config.json'}: {key} is {found}; {wanted} expected")


def _read_scheduler(folder: Path) -> Any:
    path = folder / "scheduler_config.json"
    name = _json(path).get("_class_name")

    import diffusers

    scheduler_class: Any = getattr(diffusers, str(name), None)
    if not hasattr(scheduler_class, "add_noise"):
        raise WeightsInvalid(f"{path} names the scheduler {name!r}; one of diffusers with `add_noise` expected")
    return scheduler_class.from_pretrained(folder)


def _read(files: dict[str, Path], tokenizer: Path, scheduler: Any) -> Components:
    import diffusers
    import transformers

    networks = {}
    for name, path in files.items():
        network_class = getattr(transformers if name == "text_encoder" else diffusers, _NETWORKS[name][0])
        networks[name] = _read_network(network_class, path)
    return Components(
        **networks,
        scheduler=scheduler,
        tokenizer=transformers.CLIPTokenizer.from_pretrained(tokenizer),
        digests={name: file_sha256(path) for name, path in files.items()},
    )


def _read_network(network_class: Any, path: Path) -> Any:
    import torch

    try:
        network, info = network_class.from_pretrained(
            path.parent,
            variant="fp16" if path.name.endswith(".fp16.safetensors") else None,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (ValueError, RuntimeError) as error:  # tensors of other shapes than the configuration's
        raise WeightsInvalid(f"{path} does not fit its config.json: {error}") from error
    # Left to itself the library fills what is missing with random numbers and goes on.
    wrong = sorted(map(str, info["missing_keys"])) + sorted(map(str, info["mismatched_keys"]))
    if wrong:
        raise WeightsInvalid(f"{path} does not fit its config.json: {len(wrong)} tensors missing, the first {wrong[0]}")
    return network.eval()


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsInvalid(f"{path} is missing") from error
    except ValueError as error:
        raise WeightsInvalid(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WeightsInvalid(f"{path} holds a {type(content).__name__}; an object expected")
    return content
