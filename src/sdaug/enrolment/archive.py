"""A bundle as one zip file: its bytes are a function of its content, so a reader rebuilds and compares them."""

import io
import struct
import zipfile
from collections.abc import Mapping

WHEN = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold; the real one is in the manifest."""

UNIX = 3


def zipped(files: Mapping[str, bytes]) -> bytes:
    """`files` (path in the bundle to content) stored in a zip, sorted, uncompressed: PNGs and vectors do not shrink."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, WHEN)
            entry.create_system = UNIX
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, files[path])
    return out.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    """The files in a zip that `zipped` could have written, byte for byte; ValueError for any other.

    >>> unzipped(zipped({"b": b"2", "a": b"1"}))
    {'a': b'1', 'b': b'2'}
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            # What is only stored cannot be larger than the archive: whatever claims to be is not read.
            if any(e.compress_type != zipfile.ZIP_STORED for e in entries) or sum(e.file_size for e in entries) > len(
                data
            ):
                raise ValueError("not a zip of stored files")
            files = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, RuntimeError, OSError, EOFError, struct.error) as error:
        raise ValueError(f"not a readable zip: {error}") from error
    if zipped(files) != data:
        raise ValueError("not the zip that these files make: something was added, reordered or changed around them")
    return files
