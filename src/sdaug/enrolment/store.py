"""Where a bundle lies: a folder, a zip, or an encrypted file. Read by content, never by name."""

import os
from collections.abc import Mapping
from pathlib import Path

from sdaug.enrolment.archive import unzipped, zipped
from sdaug.enrolment.folder import check_target, read_folder, write_folder
from sdaug.enrolment.layout import MANIFEST
from sdaug.enrolment.sealing import MAGIC, sealed, unsealed
from sdaug.whole import write_whole

MAX_ARCHIVE_BYTES = 1024**3


def is_folder(path: Path, key: bytes | None) -> bool:
    """Whether a bundle written to `path` is a folder: not with a key, and not where the name ends in `.zip`."""
    return key is None and path.suffix != ".zip"


def check_free(path: Path, key: bytes | None = None, overwrite: bool = False) -> None:
    """Raise FileExistsError unless a bundle may be written at `path`: free, or (with `overwrite`) an old bundle of the
    same form."""
    if is_folder(path, key):
        check_target(path, overwrite)
    elif path.is_symlink() or (path.exists() and not path.is_file()):
        raise FileExistsError(f"{path} is not a file; a bundle in one file needs a free name or an old bundle")
    elif path.exists():
        if not overwrite:
            raise FileExistsError(f"{path} exists; overwrite=True replaces a bundle")
        if not _is_bundle_file(path.read_bytes()):
            raise FileExistsError(f"{path} is not a bundle; it is left alone")


def _is_bundle_file(data: bytes) -> bool:
    if data.startswith(MAGIC):
        return True
    try:
        return MANIFEST in unzipped(data)
    except ValueError:
        return False


def publish(path: Path, files: Mapping[str, bytes], key: bytes | None = None, overwrite: bool = False) -> Path:
    """Write `files` (path in the bundle to content) at `path`, whole or not at all, readable by the owner only.

    With a key (32 bytes) an encrypted file, under a name that ends in `.zip` a zip, else a folder.
    """
    path = Path(os.path.abspath(path))
    if is_folder(path, key):
        return write_folder(path, files, overwrite)
    check_free(path, key, overwrite)
    return write_file(path, zipped(files) if key is None else sealed(zipped(files), key))


def write_file(path: Path, data: bytes) -> Path:
    """Write `data` at `path`, whole or not at all, readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    return path


def read_bundle(path: Path, key: bytes | None = None) -> tuple[dict[str, bytes], list[str]]:
    """Every file of the bundle at `path` by its path in it, and what is wrong with how it lies there."""
    path = Path(path)
    if path.is_symlink() or not path.is_file():
        return read_folder(path)
    if path.stat().st_size > MAX_ARCHIVE_BYTES:
        return {}, [f"{path.name} has {path.stat().st_size} bytes, at most {MAX_ARCHIVE_BYTES} are read"]
    try:
        return opened(path.read_bytes(), key), []
    except ValueError as error:
        return {}, [f"{path.name}: {error}"]


def opened(data: bytes, key: bytes | None = None) -> dict[str, bytes]:
    """The files of a bundle in one file. ValueError if it is neither a zip that we wrote nor one that `key` opens."""
    return unzipped(unsealed(data, key) if data.startswith(MAGIC) else data)
