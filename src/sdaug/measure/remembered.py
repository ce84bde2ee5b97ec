"""Digests of large files, remembered as long as the file is untouched: hashing 3 GB at every start costs seconds."""

import hashlib
import json
import logging
from pathlib import Path

from sdaug.measure.cache import cache_folder
from sdaug.measure.digest import file_sha256
from sdaug.record import write_json

log = logging.getLogger("sdaug.measure")


def remembered_sha256(path: Path) -> str:
    """Hex digest of the bytes of `path`, from `cache_folder()` where the same file was hashed before.

    The same file: path, device, inode, size, and times of change of content and of status to the nanosecond. The last
    one cannot be set back, so a file that was written to is hashed again whatever its date says. Where the cache
    cannot be written that is logged, and the file hashed each time.
    """
    real = path.resolve()
    stat = real.stat()
    identity = [str(real), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    note = cache_folder() / "digests" / f"{hashlib.sha256(str(real).encode()).hexdigest()[:32]}.json"
    known = _read(note)
    if known.get("identity") == identity:
        return known["sha256"]
    digest = file_sha256(real)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, {"identity": identity, "sha256": digest})
    except OSError as error:
        log.warning("the digest of %s cannot be remembered: %s", path.name, error)
    return digest


def _read(note: Path) -> dict:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: hashed anew and written over
        return {}
    return known if isinstance(known, dict) and len(str(known.get("sha256"))) == 64 else {}
