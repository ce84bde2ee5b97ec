"""A face pack fetched by insightface's own downloader, unpacked beside its place and moved there when it is whole."""

import contextlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from sdaug.measure.digest import file_sha256
from sdaug.models.catalogue import PACKS_FOLDER, Model
from sdaug.models.listing import PullError
from sdaug.models.pull import check_space
from sdaug.models.record import write_record

DEADLINE_S = 4
"""How long the server may take to say how large the pack is."""


def pack_size(model: Model) -> int:
    """Bytes of the pack's archive. Raises `PullError` where its server cannot be reached or has no such pack."""
    import requests
    from insightface.utils.storage import model_zoo_download_url

    url = model_zoo_download_url(f"{model.source}.zip")
    try:
        answer = requests.head(url, allow_redirects=True, timeout=DEADLINE_S)
    except requests.RequestException as error:
        raise PullError(f"{url} is not reachable: {error}") from error
    if answer.status_code != 200 or not answer.headers.get("content-length", "").isdigit():
        raise PullError(f"{url} cannot be had: status {answer.status_code}")
    return int(answer.headers["content-length"])


def pull_pack(model: Model, size: int) -> dict[str, Any]:
    """Fetches and unpacks the pack of `size` bytes and records it; returns the record.

    The downloader cannot go on where it was interrupted: it starts anew. Nobody publishes digests of its archives, so
    the record holds those of what came. Raises `PullError`.
    """
    from insightface.utils.storage import download

    packs = PACKS_FOLDER.expanduser()
    check_space(packs, 2 * size)  # the archive, and what is in it, are there together for a moment
    packs.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".sdaug-", dir=packs))
    try:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # it prints, and ours may be JSON
                download("", model.source, force=True, root=str(draft))
        except (RuntimeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise PullError(f"{model.source} did not arrive whole: {error}; run the same command again") from error
        archive = draft / f"{model.source}.zip"
        came = archive.stat().st_size
        if came != size:
            raise PullError(f"{model.source}.zip arrived with {came} of {size} bytes; run the same command again")
        networks = sorted((draft / model.source).rglob("*.onnx"))
        if not networks:
            raise PullError(f"{model.source}.zip holds no .onnx file")
        whole = draft / "whole"  # some archives have a folder of their own name inside
        whole.mkdir()
        for network in networks:
            os.replace(network, whole / network.name)
        place = packs / model.source
        if place.exists():
            os.replace(place, draft / "old")
        os.replace(whole, place)
        facts = {
            "source": model.source,
            "revision": None,
            "pinned": False,
            "licence": {"accepted": model.licence, "on_the_hub": None},
            "folder": str(place),
            "archive_sha256": file_sha256(archive),
            "files": {
                path.name: {"size": path.stat().st_size, "sha256": file_sha256(path)}
                for path in sorted(place.glob("*.onnx"))
            },
        }
    finally:
        shutil.rmtree(draft)
    write_record(model.name, facts)
    return {"name": model.name, **facts}
