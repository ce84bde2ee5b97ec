"""Finding a folder of weights: in this package, on this machine or in the hub's cache. Nothing is fetched here, and
nobody is asked."""

from pathlib import Path

from sdaug.diffusion.components import WeightsInvalid, WeightsMissing
from sdaug.diffusion.layout import check_sums, stand_ins

SHIPPED = Path(__file__).parents[1] / "models"
"""Where models lie that come with the package, each in a folder of its name."""


def find_folder(name: str, revision: str | None, files: list[str], *, allow_pickle: bool = False) -> Path:
    """The folder of the model that comes with the package as `name`, the local folder `name`, or the hub cache's.

    revision: a branch, tag or commit; None is the hub's main branch. files: what the hub's folder must hold, by path or
    glob. allow_pickle: in the cache a pickle will do for a weight file.

    Raises `WeightsMissing`, and `WeightsInvalid` where `name` is a file, or a folder that has SHA256SUMS and does not
    hold what they say.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    shipped, local = SHIPPED / name, Path(name).expanduser()
    if (shipped / "model_index.json").is_file():
        local = shipped
    if local.is_dir():
        check_sums(local)
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
        f"list` has, `hf download {name}` anything else; sdaug-nano, a small model, comes with this package"
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
