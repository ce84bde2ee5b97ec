"""A bundle as a folder: appears whole or not at all, and is read without following links."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sdaug.enrolment.layout import IMAGES, MANIFEST, SCHEMA, SIGNATURE, SUMS, strict_json

MAX_FILE_BYTES = 256 * 1024 * 1024


def check_target(folder: Path, overwrite: bool) -> None:
    """Raise FileExistsError unless a bundle may be written at `folder`: free, empty, or (with `overwrite`) a bundle
    with nothing else in it."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(f"{folder} is not a folder; a bundle needs a free name, an empty folder or an old bundle")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise FileExistsError(f"{folder} is not empty; overwrite=True replaces a bundle")
    try:
        manifest = strict_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise FileExistsError(f"{folder} is not a bundle ({MANIFEST}: {error}); it is left alone") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise FileExistsError(f"{folder} is not a bundle ({MANIFEST} has another schema); it is left alone")
    known = manifest.get("files")
    known = {MANIFEST, SUMS, SIGNATURE, *(known if isinstance(known, dict) else ())}
    strangers = sorted({p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()} - known)
    if strangers:
        raise FileExistsError(f"{folder} holds {strangers}, which its manifest does not list; it is left alone")


def write_folder(folder: Path, files: Mapping[str, bytes], overwrite: bool = False) -> Path:
    """Write `files` (path in the bundle to content) at `folder`, readable by the owner only.

    Built in a hidden sibling `.sdaug-*`, then renamed. Killed between the two renames of an overwrite, the name is
    free and both versions lie in that sibling.
    """
    folder = Path(os.path.abspath(folder))
    check_target(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".sdaug-", dir=folder.parent))
    try:
        fresh, old = staging / "new", staging / "old"
        fresh.mkdir(mode=0o700)
        for path, data in files.items():
            (fresh / path).parent.mkdir(mode=0o700, exist_ok=True)
            (fresh / path).write_bytes(data)
        if overwrite and folder.exists():
            os.replace(folder, old)
        try:
            os.replace(fresh, folder)
        except OSError:
            if old.exists():
                os.replace(old, folder)
            raise
    finally:
        shutil.rmtree(staging)
    return folder


def read_folder(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Every file of `folder` by its path in the bundle, and what may not be there: links, special files, other
    folders, files over 256 MiB. None of these is read."""
    folder = Path(folder)
    if folder.is_symlink() or not folder.is_dir():
        return {}, [f"{folder} is not a folder"]
    files: dict[str, bytes] = {}
    faults: list[str] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            faults.append(f"{name!r} is a symbolic link")
        elif path.is_dir():
            if name != IMAGES:
                faults.append(f"{name!r} is a folder that no bundle has")
        elif not path.is_file():
            faults.append(f"{name!r} is not a plain file")
        elif path.stat().st_size > MAX_FILE_BYTES:
            faults.append(f"{name!r} has {path.stat().st_size} bytes, at most {MAX_FILE_BYTES} are read")
        else:
            files[name] = path.read_bytes()
    return files, faults
