"""Finding a folder of weights: on this machine or in the hub's cache. Nothing is fetched here, and nobody is asked."""

from pathlib import Path

from sdaug.diffusion.components import WeightsInvalid, WeightsMissing
from sdaug.diffusion.layout import stand_ins


def find_folder(name: str, revision: str | None, files: list[str], *, allow_pickle: bool = False) -> Path:
    """The local folder that `name` is, or the hub cache's folder for it.

    revision: a branch, tag or commit; None is the hub's main branch. files: what the hub's folder must hold, by path or
    glob. allow_pickle: in the cache a pickle will do for a weight file.

    Raises `WeightsMissing`, and `WeightsInvalid` where `name` is a file.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if local.is_file():
        raise WeightsInvalid(f"{name} is a file; a folder in diffusers layout expected")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise WeightsMissing(f"{name}: no such folder, and not a hub id either") from error
    cached = _cached(name, revision, files, allow_pickle)
    if cached is not None:
        return cached
    raise WeightsMissing(
        f"{name} is neither a folder here nor whole in the hub's cache; `sdaug models pull` fetches what `sdaug models "
        f"list` has, `hf download {name}` anything else"
    )


def _cached(name: str, revision: str | None, files: list[str], allow_pickle: bool) -> Path | None:
    """The hub cache's folder for `name` if it holds every one of `files`, or what stands in for it."""
    from huggingface_hub import try_to_load_from_cache

    marker = try_to_load_from_cache(name, files[0], revision=revision)
    if not isinstance(marker, str):
        return None
    folder = Path(marker).parents[files[0].count("/")]
    wanted = [stand_ins(file, allow_pickle=allow_pickle) for file in files]
    complete = all(any(any(folder.glob(pattern)) for pattern in patterns) for patterns in wanted)
    return folder if complete else None
