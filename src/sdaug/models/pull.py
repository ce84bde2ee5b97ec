"""A model fetched from the hub into its cache, where everything else finds it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdaug.measure.digest import file_sha256
from sdaug.models.catalogue import Model
from sdaug.models.fetch import fetch
from sdaug.models.listing import Listing, PullError
from sdaug.models.record import write_record

SPARE_BYTES = 256 * 10**6
"""What has to stay free on the disk."""


def check_licence(model: Model, accepted: tuple[str, ...]) -> None:
    """`PullError` unless the licence of `model` is among `accepted`."""
    if model.licence not in accepted:
        raise PullError(
            f"{model.name} ({model.source}) is under {model.licence}: {model.conditions}. To accept: "
            f"--accept-licence {model.licence}"
        )


def check_space(folder: Path, needed: int) -> None:
    """`PullError` unless the disk of `folder`, which need not exist yet, takes `needed` bytes and some are left."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed + SPARE_BYTES > free:
        raise PullError(
            f"{needed / 1e9:.2f} GB are to come and {SPARE_BYTES / 1e9:.2f} GB stay free, but {existing} has "
            f"{free / 1e9:.2f} GB left"
        )


def pull(model: Model, listing: Listing, progress: Callable[[int], object]) -> dict[str, Any]:
    """Fetches what `listing` names and records it; returns the record. What is there already is checked, not fetched.

    progress: told bytes as they come. Raises `PullError` for a full disk, a broken line or damaged bytes.
    """
    from huggingface_hub import constants, hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import repo_folder_name

    storage = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model.source, repo_type="model")
    blobs = storage / "blobs"
    waiting = [file for file in listing.files if not (blobs / file.blob).is_file()]
    check_space(storage, sum(file.size - _part_size(blobs, file.blob) for file in waiting))
    files = {}
    folder = storage / "snapshots" / listing.commit
    for file in listing.files:
        try:
            fetch(hf_hub_url(model.source, file.path, revision=listing.commit), file, blobs, progress)
        except OSError as error:
            raise PullError(f"{file.path} cannot be written to {blobs}: {error}") from error
        # The client finds the blob there, and files it under its name and revision.
        placed = Path(hf_hub_download(model.source, file.path, revision=model.revision or "main"))
        if folder not in placed.parents:
            raise PullError(f"{model.source} changed on the hub while it was fetched; run the same command again")
        digest = file_sha256(placed)
        if file.sha256 and digest != file.sha256:
            raise PullError(
                f"{placed} is damaged: its sha256 is {digest[:12]}, the hub names {file.sha256[:12]}; delete "
                f"{placed.resolve()} and run the same command again"
            )
        files[file.path] = {"size": file.size, "sha256": digest}
    facts = {
        "source": model.source,
        "revision": listing.commit,
        "pinned": model.revision is not None,
        "licence": {"accepted": model.licence, "on_the_hub": listing.licence},
        "folder": str(folder),
        "files": files,
    }
    write_record(model.name, facts)
    return {"name": model.name, **facts}


def _part_size(blobs: Path, blob: str) -> int:
    part = blobs / f"{blob}.sdaug-part"
    return part.stat().st_size if part.is_file() else 0
