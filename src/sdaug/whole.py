"""A file that appears whole or not at all, whatever else writes there at the same time."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` at `path`, in a folder that is there, readable by the owner only."""
    handle, draft = tempfile.mkstemp(prefix=".sdaug-", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
