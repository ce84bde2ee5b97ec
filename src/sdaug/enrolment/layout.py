"""The bytes of a bundle: file names, canonical JSON, the tensor file and the sums. All pure, so a folder, a zip
or an encrypted blob can hold the same `dict[path, bytes]`."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

SCHEMA = "sdaug.enrolment/1"
MANIFEST = "manifest.json"
EMBEDDINGS = "embeddings.safetensors"
SUMS = "SHA256SUMS"
SIGNATURE = "manifest.sig"
IMAGES = "images"


def digest(data: bytes) -> str:
    """SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def image_path(row: int, role: str) -> str:
    """Where the image of an accepted sample lies in the bundle.

    >>> image_path(3, "yaw+45_pitch+00")
    'images/03-yaw+45_pitch+00.png'
    """
    return f"{IMAGES}/{row:02d}-{role}.png"


def zoned_time(value: str) -> str:
    """`value`, or ValueError unless it is an ISO 8601 time to the second, with a zone.

    >>> zoned_time("2030-01-31T12:00:00Z")
    '2030-01-31T12:00:00Z'
    """
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", value, re.ASCII):
        raise ValueError(f"{value!r} is not an ISO 8601 time with zone, such as '2030-01-31T12:00:00Z'")
    datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value


def canonical_json(value: Any) -> bytes:
    """The one UTF-8 spelling of a JSON value: sorted keys, two spaces, a final newline. ValueError if it is no JSON
    (NaN, infinity, an array, a lone surrogate).

    >>> canonical_json({"b": 1, "a": [0.5]}).decode()
    '{\\n  "a": [\\n    0.5\\n  ],\\n  "b": 1\\n}\\n'
    """
    try:
        return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be written as JSON: {error}") from error


def strict_json(data: bytes) -> Any:
    """Parse JSON, refusing what parsers disagree about: duplicate keys, NaN and infinity, bytes that are not UTF-8.

    >>> strict_json(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: not valid JSON: key 'a' occurs twice
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"key {key!r} occurs twice")
            found[key] = value
        return found

    def no_constant(word: str) -> Any:
        raise ValueError(f"{word} is not a JSON number")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from error


def tensor_header(rows: int, dim: int, facts: Mapping[str, str]) -> bytes:
    """The head of a safetensors file that holds one float32 tensor `embeddings` [rows, dim] and `facts` as metadata.

    Written here because the library puts metadata in a random order, and a bundle has deterministic bytes.
    """
    entry = {"dtype": "F32", "shape": [rows, dim], "data_offsets": [0, rows * dim * 4]}
    text = json.dumps({"__metadata__": dict(facts), "embeddings": entry}, sort_keys=True, separators=(",", ":"))
    body = text.encode()
    body += b" " * (-len(body) % 8)
    return len(body).to_bytes(8, "little") + body


def tensor_bytes(embeddings: np.ndarray, facts: Mapping[str, str]) -> bytes:
    """A whole safetensors file. embeddings: (N, D) float32. facts: metadata, text to text."""
    rows, dim = embeddings.shape
    return tensor_header(rows, dim, facts) + np.ascontiguousarray(embeddings, dtype="<f4").tobytes()


def sums_text(digests: Mapping[str, str]) -> bytes:
    """SHA256SUMS in sha256sum's format, sorted by path.

    >>> sums_text({"b": "22", "a": "11"})
    b'11  a\\n22  b\\n'
    """
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()
