"""What can be known of weights in diffusers layout without reading them: files, headers, classes, and sizes that must
fit each other."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from sdaug.diffusion.components import WeightsInvalid
from sdaug.measure.digest import file_sha256

NETWORKS = {
    "unet": ("UNet2DConditionModel", "diffusion_pytorch_model"),
    "controlnet": ("ControlNetModel", "diffusion_pytorch_model"),
    "vae": ("AutoencoderKL", "diffusion_pytorch_model"),
    "tiny_vae": ("AutoencoderTiny", "diffusion_pytorch_model"),
    "text_encoder": ("CLIPTextModel", "model"),
    "safety_checker": ("StableDiffusionSafetyChecker", "model"),
}
"""The class of each network, and its weight file without ending."""

PICKLE_STEMS = {"model": "pytorch_model"}
"""Where a pickle is not called like the safetensors file (transformers' networks)."""


def stand_ins(file: str, *, allow_pickle: bool = False) -> list[str]:
    """What does for a wanted file, best first: itself, its half-precision twin, and if allowed the pickle of it.

    >>> stand_ins("vae/config.json")
    ['vae/config.json']
    >>> stand_ins("text_encoder/model.safetensors", allow_pickle=True)[1:3]
    ['text_encoder/model.fp16.safetensors', 'text_encoder/pytorch_model.bin']
    """
    if not file.endswith(".safetensors"):
        return [file]
    path = file.removesuffix(".safetensors")
    folder, slash, stem = path.rpartition("/")
    pickle = f"{folder}{slash}{PICKLE_STEMS.get(stem, stem)}"
    pickles = [f"{pickle}.bin", f"{pickle}.fp16.bin"] if allow_pickle else []
    return [file, f"{path}.fp16.safetensors", *pickles]


def check_network(folder: Path, network: str, *, allow_pickle: bool = False) -> Path:
    """The weight file of one of `NETWORKS`, its class as expected and its header read; or `WeightsInvalid`.

    allow_pickle: a pickle will do where there is no safetensors file.
    """
    class_name, stem = NETWORKS[network]
    config = read_json(folder / "config.json")
    found = config.get("_class_name") or ", ".join(config.get("architectures") or ["none"])
    if found != class_name:
        raise WeightsInvalid(f"{folder / 'config.json'} describes {found}; {class_name} expected")
    wanted = [folder / f"{stem}.safetensors", folder / f"{stem}.fp16.safetensors"]
    path = next((file for file in wanted if file.is_file()), None)
    if path is None:
        return _check_pickle(folder, stem, wanted[0], allow_pickle)
    check_header(path)
    return path


def check_header(path: Path) -> None:
    """`WeightsInvalid` unless `path` is a safetensors file as long as its header says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise WeightsInvalid(f"{path} is damaged or cut short: {error}") from error


def _check_pickle(folder: Path, stem: str, wanted: Path, allowed: bool) -> Path:
    stem = PICKLE_STEMS.get(stem, stem)
    readable = [folder / f"{stem}.bin", folder / f"{stem}.fp16.bin"]
    path = next((file for file in readable if file.is_file()), None)
    if path is None or not allowed:
        pickles = (path for ending in ("bin", "ckpt", "pt", "pth") for path in sorted(folder.glob(f"*.{ending}")))
        pickled = path or next(pickles, None)
        if pickled is None:
            raise WeightsInvalid(f"{wanted} is missing")
        leave = f"; a pickle has to be called {readable[0].name}" if allowed else " (or `allow_pickle: true`)"
        raise WeightsInvalid(f"{pickled} is a pickle, which is not read; {wanted.name} expected beside it{leave}")
    # torch has written zip archives since 1.6; what went before has no list of contents to be checked.
    if not zipfile.is_zipfile(path):
        raise WeightsInvalid(f"{path} is damaged or cut short: no end of a zip archive, as torch has written since 1.6")
    return path


def read_sums(folder: Path) -> dict[str, str]:
    """The sha256 of each file that `folder`'s SHA256SUMS lists, as `sha256sum` writes it; empty where there is none."""
    path = folder / "SHA256SUMS"
    if not path.is_file():
        return {}
    sums = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        entry = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if entry is None:
            raise WeightsInvalid(f"{path}, line {number}: a sha256, two spaces and a path expected, found {line!r}")
        sums[entry[2]] = entry[1]
    return sums


def check_sums(folder: Path) -> None:
    """`WeightsInvalid` unless every file that `folder`'s SHA256SUMS lists, if it has one, is there and unchanged."""
    for name, wanted in read_sums(folder).items():
        path = folder / name
        if not path.is_file():
            raise WeightsInvalid(f"{path} is missing; SHA256SUMS lists it")
        found = file_sha256(path)
        if found != wanted:
            raise WeightsInvalid(f"{path} has changed: its sha256 is {found}, {wanted} expected by SHA256SUMS")


def check_tokenizer(folder: Path) -> None:
    """`WeightsInvalid` unless `folder` holds a vocabulary."""
    if not (folder / "tokenizer.json").is_file():
        for name in ("vocab.json", "merges.txt"):
            if not (folder / name).is_file():
                raise WeightsInvalid(f"{folder / name} is missing")


def check_fit(folders: dict[str, Path]) -> None:
    """That unet, controlnet, vae and text_encoder are SD1.5's kind and belong together, by their configurations alone.

    ControlNet has to want its image as RGB: its hint network is run apart from it, without the swap it may ask for.
    """
    unet, controlnet, vae, text = (
        read_json(folders[name] / "config.json") for name in ("unet", "controlnet", "vae", "text_encoder")
    )
    channels = unet.get("out_channels", 4)
    shared = ("block_out_channels", "layers_per_block", "cross_attention_dim")
    order = "controlnet_conditioning_channel_order"
    for name, key, found, wanted in (
        ("unet", "in_channels", unet.get("in_channels"), channels),
        ("unet", "addition_embed_type", unet.get("addition_embed_type"), None),
        ("vae", "latent_channels", vae.get("latent_channels", 4), channels),
        ("vae", "number of block_out_channels", len(vae.get("block_out_channels", [])), 4),
        ("controlnet", "in_channels", controlnet.get("in_channels"), channels),
        ("controlnet", "conditioning_channels", controlnet.get("conditioning_channels", 3), 3),
        ("controlnet", order, controlnet.get(order, "rgb"), "rgb"),
        *(("controlnet", key, controlnet.get(key), unet.get(key)) for key in shared),
        ("text_encoder", "hidden_size", text.get("hidden_size"), unet.get("cross_attention_dim")),
    ):  # fmt: skip
        if found != wanted:
            raise WeightsInvalid(f"{folders[name] / 'config.json'}: {key} is {found}; {wanted} expected")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, or `WeightsInvalid`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsInvalid(f"{path} is missing") from error
    except ValueError as error:
        raise WeightsInvalid(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WeightsInvalid(f"{path} holds a {type(content).__name__}; an object expected")
    return content
