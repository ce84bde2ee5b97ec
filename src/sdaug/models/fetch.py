"""One file of the hub into its cache: interrupted, it goes on where it stopped; whole, it is checked before it counts.

The hub's own client (2.4) throws away what an interrupted download had got, so that a cut line at 3 of 3.4 GB starts
anew. Here the bytes are kept beside the cache's blobs and only the rest is asked for.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdaug.models.listing import PullError, RemoteFile

TRIES = 4
"""How often in a row a connection may break without a single new byte."""

PAUSE_S = 1.0
"""Before a broken connection is tried again."""


def fetch(url: str, file: RemoteFile, blobs: Path, progress: Callable[[int], object]) -> Path:
    """The blob of `file`, fetched from `url` into the folder `blobs` unless it is there already.

    progress: told the number of bytes that each chunk brings, those of an earlier attempt included. Raises `PullError`
    where the line keeps breaking (what has come is kept), or where the bytes are not those that the hub names.
    """
    whole, part = blobs / file.blob, blobs / f"{file.blob}.sdaug-part"
    if whole.is_file() and whole.stat().st_size == file.size:
        progress(file.size)
        return whole
    blobs.mkdir(parents=True, exist_ok=True)
    had = _size(part)
    if had > file.size:
        part.unlink()
        had = 0
    progress(had)
    tries = TRIES
    while had < file.size or not part.exists():
        problem = _receive(url, part, had, file.size, progress)
        got = _size(part)
        if problem is None:
            break
        tries = TRIES if got > had else tries - 1
        had = got
        if not tries:
            raise PullError(
                f"{file.path} broke off at {had} of {file.size} bytes: {problem}; run the same command again to go on"
            )
        time.sleep(PAUSE_S)
    _check(part, file)
    part.replace(whole)
    return whole


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(url: str, part: Path, had: int, size: int, progress: Callable[[int], object]) -> str | None:
    """What comes from byte `had` on, appended to `part`; why it ended too early, None where it did not."""
    from huggingface_hub import get_session
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]  (httpx's or httpx2's)
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
    client: Any = get_session()
    try:
        with client.stream("GET", url, headers=headers, follow_redirects=True, timeout=30) as response:
            hf_raise_for_status(response)
            resumed = response.status_code == 206
            if had and not resumed:  # the server sends all of it again
                progress(-had)
                had = 0
            with part.open("ab" if resumed else "wb") as stream:
                for chunk in response.iter_bytes():  # as they come: a larger chunk would be lost when the line breaks
                    stream.write(chunk)
                    had += len(chunk)
                    progress(len(chunk))
    except HTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None and status < 500 and status not in (408, 429):
            raise PullError(f"{url}: the hub refuses with status {status}") from error
        return f"{type(error).__name__}: {error}"
    return None if had >= size else "the connection ended early"


def _check(part: Path, file: RemoteFile) -> None:
    """`PullError`, and the bytes thrown away, unless size and digest are the hub's."""
    size = part.stat().st_size
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with part.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    if size != file.size or digest.hexdigest() != file.blob:
        part.unlink()
        raise PullError(
            f"{file.path} arrived damaged: {size} bytes with digest {digest.hexdigest()[:12]}; the hub names "
            f"{file.size} bytes with {file.blob[:12]}. It was thrown away"
        )
