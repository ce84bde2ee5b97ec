"""SHA-256 of files and arrays: what ties a number to the bytes it was measured on."""

import hashlib
from pathlib import Path

import numpy as np


def file_sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def array_sha256(array: np.ndarray) -> str:
    """Hex digest of an array's shape, type and values.

    >>> array_sha256(np.zeros(2)) == array_sha256(np.zeros((2, 1)))
    False
    """
    head = f"{array.shape}{array.dtype.str}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()
