"""Finding a folder of weights: on this machine, in the hub's cache, or by downloading it."""

import threading
from pathlib import Path

from sdaug.diffusion.components import WeightsInvalid, WeightsMissing
from sdaug.diffusion.layout import stand_ins

HUB_DEADLINE_S = 3.0
"""How long the hub may take to answer. The promise to the user is 5 s; the rest is for importing its client."""


def find_folder(
    name: str, revision: str | None, files: list[str], *, download: bool, allow_pickle: bool = False
) -> Path:
    """The local folder that `name` is, or the hub cache's folder for it.

    revision: a branch, tag or commit; None is the hub's main branch. files: what the hub's folder must hold, by path or
    glob. download: whether what the cache lacks is fetched; without it the hub is not even asked. allow_pickle: in the
    cache a pickle will do for a weight file; none is ever downloaded here, that takes `sdaug models pull`.

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
    if not download:
        raise WeightsMissing(f"{name} is neither a folder here nor whole in the hub's cache (the hub was not asked)")
    return _download(name, revision, files)


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


def _download(name: str, revision: str | None, files: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]  (httpx's or httpx2's)

    ask_hub(name)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except (HTTPError, OSError) as error:
        raise WeightsMissing(f"{name} (revision {revision or 'unset'}) cannot be had from the hub: {error}") from error


def ask_hub(name: str) -> None:
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
            f"{name} is neither a folder here nor whole in the hub's cache, and the hub ({constants.ENDPOINT}) is not "
            f"reachable: {problem}"
        )
