"""An augmentation as files: marked pictures `NN.png` and `manifest.json`, all of them or none."""

import json
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from sdaug.enrolment.marking import encode_png
from sdaug.record import SCHEMA, manifest, write_json
from sdaug.types import AngleResult, Augmentation

MANIFEST = "manifest.json"


class OutputError(ValueError):
    """A folder that may not be written; the message says what lies there."""


def check_free(folder: Path) -> None:
    """Raises OutputError unless `folder` is free, empty, or an earlier augmentation and nothing else."""
    if folder.is_symlink() or folder.is_file():
        raise OutputError(f"{folder} is a {'link' if folder.is_symlink() else 'file'}; expected a folder")
    if Path.cwd().is_relative_to(folder.absolute()):
        raise OutputError(f"{folder} is the current folder or holds it; give a folder of its own")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not present:
        return
    try:
        earlier = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        ours = {angle["image"] for angle in earlier["angles"]} | {MANIFEST} if earlier["schema"] == SCHEMA else set()
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    if strangers := sorted(present - ours):
        some = ", ".join(strangers[:3])
        raise OutputError(f"{folder} is not empty: no earlier augmentation wrote {some}; give a free folder")


def marked_png(angle: AngleResult, record: Augmentation) -> bytes:
    """An accepted angle as a PNG that says it is synthetic, and from which photo."""
    assert angle.image is not None
    provenance = {
        "origin": "generated" if angle.rung.startswith("diffusion") else "classical",
        "generator": "sdaug",
        "version": version("sdaug"),
        "parent_sha256": record.source["sha256"],
        "rung": angle.rung,
    }
    return encode_png(angle.image, synthetic=True, provenance=provenance)


def write_images(folder: Path, record: Augmentation) -> dict[int, str]:
    """Writes the accepted images into an existing folder; returns file name per angle index."""
    names = {}
    for angle in record.accepted:
        names[angle.index] = f"{angle.index:02d}.png"
        (folder / names[angle.index]).write_bytes(marked_png(angle, record))
    return names


def write_augmentation(folder: Path, record: Augmentation) -> Path:
    """Writes pictures and manifest to `folder`, replacing an earlier augmentation there; raises OutputError."""
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".sdaug-", dir=folder.parent))
    try:
        draft, earlier = staging / "new", staging / "earlier"
        draft.mkdir()
        write_json(draft / MANIFEST, manifest(record, write_images(draft, record)))
        if folder.is_dir():
            os.replace(folder, earlier)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(staging)
    return folder
