"""Finding and reading one adapter file: its tensors by name, or an error that says what is wrong with it."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdaug.diffusion.components import WeightsInvalid, WeightsMissing
from sdaug.diffusion.hub import find_folder


def find_file(name: str, weight_name: str, revision: str | None) -> Path:
    """The file that `name` is, or `weight_name` in the folder or hub repository that it is. Raises `WeightsMissing`."""
    local = Path(name).expanduser()
    if local.is_file():
        return local
    folder = find_folder(name, revision, [weight_name])
    path = folder / weight_name
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in folder.iterdir() if p.is_file())) or "no files"
        raise WeightsMissing(f"{path} is missing; there are: {there}")
    return path


def read_tensors(path: Path, *, allow_pickle: bool = False) -> dict[str, Any]:
    """Every tensor of an adapter file on the CPU, nested dictionaries joined by dots.

    A file not called `.safetensors` is a pickle. It is read only with `allow_pickle`, and then by torch's reader for
    tensors, which refuses anything that would run code. Raises `WeightsInvalid`, also for numbers that are not finite.
    """
    if path.suffix == ".safetensors":
        tensors = _read_safetensors(path)
    elif allow_pickle:
        tensors = _read_pickle(path)
    else:
        raise WeightsInvalid(
            f"{path} is a pickle, which is read only with `allow_pickle: true`; a .safetensors file needs no such leave"
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsInvalid(f"{path}: not all numbers of {name} are finite")
    return tensors


def check_shapes(path: Path, found: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> None:
    """`WeightsInvalid`, naming the first difference, unless `found` has just the tensors and shapes of `expected`."""
    missing = [name for name in expected if name not in found]
    if missing:
        raise WeightsInvalid(f"{path} does not fit: {len(missing)} tensors are missing, the first {missing[0]}")
    for name, shape in expected.items():
        if tuple(found[name].shape) != shape:
            raise WeightsInvalid(f"{path} does not fit: {name} has shape {tuple(found[name].shape)}; {shape} expected")
    unknown = sorted(set(found) - set(expected))
    if unknown:
        raise WeightsInvalid(f"{path} does not fit: {len(unknown)} tensors are of no use here, the first {unknown[0]}")


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsInvalid(f"{path} is damaged or cut short: {error}") from error


def _read_pickle(path: Path) -> dict[str, Any]:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsInvalid(f"{path} holds more than tensors, or is damaged: {error}") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise WeightsInvalid(f"{path} is damaged or cut short: {error}") from error
    return _flat(path, content, "")


def _flat(path: Path, content: Any, prefix: str) -> dict[str, Any]:
    import torch

    if isinstance(content, torch.Tensor):
        return {prefix: content}
    if not isinstance(content, dict):
        raise WeightsInvalid(f"{path}: {prefix or 'its content'} is a {type(content).__name__}; tensors expected")
    parts = (_flat(path, value, f"{prefix}.{key}" if prefix else str(key)) for key, value in content.items())
    return {name: tensor for part in parts for name, tensor in part.items()}
