"""Networks read from their files, each straight into the number format it is wanted in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sdaug.diffusion.components import WeightsInvalid
from sdaug.diffusion.hub import find_folder
from sdaug.diffusion.layout import NETWORKS, check_network, read_json
from sdaug.measure.remembered import remembered_sha256

Dtype = Literal["float32", "float16", "bfloat16"]

TAESD = "madebyollin/taesd"
"""The tiny VAE for SD1.5's latents."""

_ENCODER = ("encoder.", "quant_conv.")
_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def read_network(network: str, path: Path, dtype: Dtype = "float32") -> Any:
    """One of `NETWORKS` on the CPU in evaluation mode, from the file that `check_network` found.

    A file in another format is converted tensor by tensor: there are never two whole copies. Raises `WeightsInvalid`
    unless the file has the tensors that the config.json beside it asks for, each in its shape, and no others but those
    that the library knows to be harmless (`position_ids`, which SD1.5's text encoder and safety checker hold).
    """
    import torch

    try:
        with _no_progress_bar():
            model, info = _network_class(network).from_pretrained(
                path.parent,
                variant="fp16" if ".fp16." in path.name else None,
                dtype=getattr(torch, dtype),
                use_safetensors=path.suffix == ".safetensors",  # a pickle is read with torch.load(weights_only=True)
                local_files_only=True,
                output_loading_info=True,
            )
    except (ValueError, RuntimeError) as error:  # tensors of other shapes than the configuration's
        raise WeightsInvalid(f"{path} does not fit its config.json: {error}") from error
    except OSError as error:  # a pickle of something else than tensors, or a damaged one
        raise WeightsInvalid(f"{path} cannot be read: {error}") from error
    # Left to itself the library fills what is missing with random numbers and goes on.
    wrong = sorted(map(str, info["missing_keys"])) + sorted(map(str, info["mismatched_keys"]))
    if wrong:
        raise WeightsInvalid(f"{path} does not fit its config.json: {len(wrong)} tensors missing, the first {wrong[0]}")
    surplus = sorted(map(str, info["unexpected_keys"]))
    if surplus:
        what = f"{len(surplus)} tensors too many, the first {surplus[0]}"
        raise WeightsInvalid(f"{path} does not fit its config.json: {what}")
    return model.eval()


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Without transformers' own, which shows for the fraction of a second that a text encoder takes."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _network_class(network: str) -> Any:
    import diffusers
    import transformers
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    if network == "safety_checker":
        return StableDiffusionSafetyChecker
    return getattr(transformers if network == "text_encoder" else diffusers, NETWORKS[network][0])


def read_scheduler(folder: Path) -> Any:
    """The scheduler described in `folder`. Raises `WeightsInvalid` for one that SD1.5 cannot run with."""
    import diffusers

    path = folder / "scheduler_config.json"
    name = read_json(path).get("_class_name")
    scheduler_class: Any = getattr(diffusers, str(name), None)
    if not hasattr(scheduler_class, "add_noise"):
        raise WeightsInvalid(f"{path} names the scheduler {name!r}; one of diffusers with `add_noise` expected")
    return scheduler_class.from_pretrained(folder)


def read_vae_encoder(path: Path, dtype: Dtype = "float32") -> dict[str, Any]:
    """The encoder's half of an AutoencoderKL's safetensors file, by the names its `load_state_dict` knows.

    For an encoder that was freed: `vae.load_state_dict(read_vae_encoder(path), strict=False, assign=True)`.
    Only these tensors are read. Raises `WeightsInvalid` for a file without them.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    state = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                if name.startswith(_ENCODER):
                    state[_renamed(name)] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise WeightsInvalid(f"{path} is missing, damaged or cut short: {error}") from error
    if not any(name.startswith("encoder.") for name in state):
        raise WeightsInvalid(f"{path} holds no VAE encoder: no tensor is called encoder.…")
    # In old files the attention's projections are 1x1 convolutions.
    return {
        name: (value.flatten(1) if ".to_" in name and value.ndim == 4 else value).to(getattr(torch, dtype))
        for name, value in state.items()
    }


def _renamed(name: str) -> str:
    if ".attentions." in name:
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)
    return name


def find_tiny_vae(vae_id: str | None, revision: str | None = None, beside: Path | None = None) -> Path:
    """The folder of the AutoencoderTiny `vae_id`, a hub id or a folder; None is the model's own in `beside`, if it has
    one, else TAESD. Raises `WeightsMissing` or `WeightsInvalid`."""
    if vae_id is None and beside is not None and beside.is_dir():
        return beside
    return find_folder(vae_id or TAESD, revision, ["config.json", "diffusion_pytorch_model.safetensors"])


def read_tiny_vae(
    vae_id: str | None,
    revision: str | None = None,
    dtype: Dtype = "float32",
    *,
    beside: Path | None = None,
    channels: int = 4,
) -> tuple[Any, str]:
    """The AutoencoderTiny of `find_tiny_vae`, and the sha256 of its file.

    channels: of the latents that it has to decode. Raises `WeightsMissing` or `WeightsInvalid`.
    """
    folder = find_tiny_vae(vae_id, revision, beside)
    path = check_network(folder, "tiny_vae")
    found = read_json(folder / "config.json").get("latent_channels", 4)
    if found != channels:
        raise WeightsInvalid(f"{folder / 'config.json'}: latent_channels is {found}; {channels} expected")
    return read_network("tiny_vae", path, dtype), remembered_sha256(path)
