"""What server and worker say to each other: a JSON head and raw bytes, with lengths in front. No pickle."""

import asyncio
import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

MAX_HEAD = 16 * 1024 * 1024
MAX_BLOB = 512 * 1024 * 1024

_LENGTH = struct.Struct(">I")

Frame = tuple[dict[str, Any], list[bytes]]
"""The head and the blobs that came with it."""


class FrameError(RuntimeError):
    """Bytes that are no frame: the other side is not what it should be."""


def pack(head: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """One frame.

    >>> unpack(pack({"kind": "step"}, [b"xy"]))
    ({'kind': 'step'}, [b'xy'])
    """
    text = json.dumps({"head": head, "blobs": [len(blob) for blob in blobs]}, allow_nan=False).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *blobs))


def unpack(data: bytes) -> Frame:
    """The one frame that `data` is. Raises FrameError."""
    if len(data) < _LENGTH.size:
        raise FrameError(f"{len(data)} bytes are no frame")
    (length,) = _LENGTH.unpack_from(data)
    head, sizes = _head(data[_LENGTH.size : _LENGTH.size + length])
    blobs, at = [], _LENGTH.size + length
    for size in sizes:
        blobs.append(data[at : at + size])
        at += size
    if at != len(data):
        raise FrameError(f"the frame says {at} bytes, there are {len(data)}")
    return head, blobs


def read_frame(stream: BinaryIO) -> Frame | None:
    """The next frame, None at the end of the stream."""
    first = stream.read(_LENGTH.size)
    if len(first) < _LENGTH.size:
        return None
    head, sizes = _head(_exactly(stream, _limited(_LENGTH.unpack(first)[0], MAX_HEAD)))
    return head, [_exactly(stream, size) for size in sizes]


def write_frame(stream: BinaryIO, head: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Writes one frame and flushes."""
    stream.write(pack(head, blobs))
    stream.flush()


async def receive_frame(stream: asyncio.StreamReader) -> Frame:
    """`read_frame` for the event loop. Raises asyncio.IncompleteReadError at the end of the stream."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    head, sizes = _head(await stream.readexactly(_limited(length, MAX_HEAD)))
    return head, [await stream.readexactly(size) for size in sizes]


def _head(text: bytes) -> tuple[dict[str, Any], list[int]]:
    try:
        content = json.loads(text)
        head, sizes = content["head"], [_limited(size, MAX_BLOB) for size in content["blobs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise FrameError(f"the head of a frame is not readable: {type(error).__name__}") from error
    return head, sizes


def _limited(size: int, most: int) -> int:
    if not 0 <= size <= most:
        raise FrameError(f"a frame with {size} bytes in one part, at most {most}")
    return size


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise FrameError(f"the stream ended after {len(data)} of {size} bytes")
    return data
