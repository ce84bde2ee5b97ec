"""Where diffusion weights come from: a folder in diffusers layout, the hub (its cache first), or "random".

Everything that can be known without reading the weights (files, classes, sizes that must fit) is checked first.
"""

import hashlib
import importlib
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdaug.config import DEFAULT_CONTROLNET, ModelSettings
from sdaug.types import Reason

HUB_DEADLINE_S = 3.0
"""How long the hub may take to answer. The promise to the user is 5 s; the rest is for importing its client."""


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


def load_components(model: ModelSettings) -> Components:
    """The components that `model` names. Raises `WeightsMissing` or `WeightsInvalid`.

    An unset revision stays unset: the hub's main branch. A local model folder may hold its ControlNet as
    `controlnet/`, used when `controlnet_id` is left at its default.
    """
    if model.model_id == "random":
        return random_components()
    folder = _folder(model.model_id, model.revision, _MODEL_FILES)
    files = {name: _check_network(folder / name, *_NETWORKS[name]) for name in ("unet", "vae", "text_encoder")}
    _check_tokenizer(folder / "tokenizer")
    files["controlnet"] = _check_network(_controlnet_folder(model), *_NETWORKS["controlnet"])
    _check_fit({name: path.parent for name, path in files.items()})
    scheduler = _read_scheduler(folder / "scheduler")
    return _read(files, folder / "tokenizer", scheduler)


# -- random


def random_components(seed: int = 0) -> Components:
    """A small SD1.5 of the real classes with seeded random weights (0.4 M parameters): every code path, no artist.

    The global random state is left as it was. The ControlNet's output layers, zero in an untrained one, are random
    too, and the last layers are scaled up, so that noise, prompt and control image all show in the pixels.
    """
    import torch

    diffusers: Any = importlib.import_module("diffusers")  # its lazy names say nothing to a type checker
    blocks: dict[str, Any] = dict(block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4)
    blocks |= dict(down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"))
    denoiser = blocks | dict(cross_attention_dim=32, attention_head_dim=4)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would reseed every GPU as well, which fork_rng would have to put back.
        torch.default_generator.manual_seed(seed)
        unet = diffusers.UNet2DConditionModel(
            sample_size=64, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **denoiser
        )
        controlnet = diffusers.ControlNetModel(conditioning_embedding_out_channels=(4, 8, 8, 16), **denoiser)
        vae = diffusers.AutoencoderKL(
            block_out_channels=(4, 8, 8, 16),
            norm_num_groups=4,
            latent_channels=4,
            sample_size=512,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
        outputs: list[Any] = [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]
        for layer in outputs:
            torch.nn.init.normal_(layer.weight, std=0.2)
        for layer in controlnet.controlnet_cond_embedding.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
        lasts: list[Any] = [unet.conv_out, vae.encoder.conv_out, vae.quant_conv]
        for layer in lasts:
            torch.nn.init.kaiming_normal_(layer.weight)
        torch.nn.init.normal_(controlnet.controlnet_cond_embedding.conv_out.weight, std=1.0)
        torch.nn.init.normal_(vae.decoder.conv_out.weight, std=0.1)
        prompt_embeds, negative_prompt_embeds = torch.randn(2, 1, 77, 32).unbind(0)
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        # With "leading", SD1.5's own, the last step is at t=1 whatever their number: 1 of 2 or 1 of 4 changes nothing.
        timestep_spacing="trailing",
    )
    networks = {"unet": unet.eval(), "controlnet": controlnet.eval(), "vae": vae.eval()}
    return Components(
        **networks,
        scheduler=scheduler,
        digests={name: _state_sha256(network) for name, network in networks.items()},
        random=True,
        prompt_embeds=prompt_embeds,
        negative_prompt_embeds=negative_prompt_embeds,
    )


def _state_sha256(network: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


# -- a folder in diffusers layout

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
        digests={name: _file_sha256(path) for name, path in files.items()},
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


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# -- finding the folder


def _controlnet_folder(model: ModelSettings) -> Path:
    beside = Path(model.model_id).expanduser() / "controlnet"
    if model.controlnet_id == DEFAULT_CONTROLNET and beside.is_dir():
        return beside
    prefix = f"{model.controlnet_subfolder}/" if model.controlnet_subfolder else ""
    wanted = [f"{prefix}config.json", f"{prefix}diffusion_pytorch_model.safetensors"]
    folder = _folder(model.controlnet_id, model.controlnet_revision, wanted)
    # The default subfolder is the hub ControlNet's; a local folder need not have it.
    return folder / prefix if (folder / prefix).is_dir() else folder


def _folder(name: str, revision: str | None, files: list[str]) -> Path:
    """The local folder that `name` is, or the hub cache's folder for it, downloaded if need be."""
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if local.is_file():
        raise WeightsInvalid(f"{name} is a file; a folder in diffusers layout expected")
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        raise WeightsMissing(f"{name}: no such folder")
    return _cached(name, revision, files) or _download(name, revision, files)


def _cached(name: str, revision: str | None, files: list[str]) -> Path | None:
    """The hub cache's folder for `name` if it holds every one of `files` (for weights, an fp16 file will do)."""
    from huggingface_hub import try_to_load_from_cache

    marker = try_to_load_from_cache(name, files[0], revision=revision)
    if not isinstance(marker, str):
        return None
    folder = Path(marker).parents[files[0].count("/")]
    halves = {file: file.replace(".safetensors", ".fp16.safetensors") for file in files}
    complete = all(any(folder.glob(file)) or any(folder.glob(halves[file])) for file in files)
    return folder if complete else None


def _download(name: str, revision: str | None, files: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]  (httpx's or httpx2's)

    _ask_hub(name)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except (HTTPError, OSError) as error:
        raise WeightsMissing(f"{name} (revision {revision or 'unset'}) cannot be had from the hub: {error}") from error


def _ask_hub(name: str) -> None:
    """`WeightsMissing` unless the hub answers anything at all within `HUB_DEADLINE_S`.

    One request, no retry, in a thread that is left behind: a name look-up takes no time limit of its own.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]  (httpx's or httpx2's)

    outcome: list[str] = []

    def ask() -> None:
        try:
            get_session().head(f"{constants.ENDPOINT}/{name}", timeout=HUB_DEADLINE_S)
            outcome.append("")
        except (HTTPError, OSError) as error:
            outcome.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=ask, name="sdaug-ask-hub", daemon=True)
    thread.start()
    thread.join(HUB_DEADLINE_S)
    problem = outcome[0] if outcome else f"no answer within {HUB_DEADLINE_S:g} s"
    if problem:
        raise WeightsMissing(
            f"{name} is neither a folder here nor in the hub's cache, and the hub ({constants.ENDPOINT}) is not "
            f"reachable: {problem}"
        )
