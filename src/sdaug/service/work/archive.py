"""A bundle as one zip file whose bytes depend on its content alone."""

import io
import zipfile
from collections.abc import Mapping

WHEN = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold; the real one is in the manifest."""


def zipped(files: Mapping[str, bytes]) -> bytes:
    """`files` (path in the bundle to content) stored in a zip, sorted, uncompressed: PNGs and vectors do not shrink."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, WHEN)
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, files[path])
    return out.getvalue()
