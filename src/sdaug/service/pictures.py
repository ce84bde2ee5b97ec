"""What can be told of an upload without decoding it: its format by content, its name, and what follows the picture."""

import re
import struct
import unicodedata

from sdaug.types import PhotoError, Reason

SUFFIXES = {"JPEG": ("jpg", "jpeg", "jpe", "jfif"), "PNG": ("png",), "WEBP": ("webp",)}
"""The formats that are taken, and what their files are called."""

MAX_NAME = 255

FOREIGN = (b"PK\x03\x04", b"PK\x05\x06", b"%PDF", b"<html", b"<script", b"<?php", b"<!doctype", b"<svg", b"\x7fELF",
           b"Rar!", b"7z\xbc\xaf", b"MZ\x90")  # fmt: skip
"""Beginnings of other kinds of file, looked for behind a JPEG, where cameras put harmless things too."""


def sniff(data: bytes) -> str:
    """The format of a picture by its first bytes, a key of `SUFFIXES`. Raises PhotoError for anything else."""
    if not data:
        raise PhotoError(Reason.UNREADABLE, "the file is empty (0 bytes); expected an image")
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise PhotoError(Reason.UNSUPPORTED, f"not an image of a known format; expected one of {', '.join(SUFFIXES)}")


def check_name(name: str | None, found: str) -> None:
    """Raises PhotoError where a file's name is no plain name or says another format than `found`. It is never used.

    >>> check_name("photo.JPG", "JPEG"), check_name("blob", "PNG"), check_name(None, "PNG")
    (None, None, None)
    >>> check_name("../photo.png", "PNG")
    Traceback (most recent call last):
    sdaug.types.PhotoError: the file's name holds a path separator; expected a plain name
    """
    if not name:
        return
    if len(name) > MAX_NAME:
        raise PhotoError(Reason.UNREADABLE, f"the file's name has {len(name)} characters, at most {MAX_NAME} are taken")
    if set(name) & set("/\\:"):
        raise PhotoError(Reason.UNREADABLE, "the file's name holds a path separator; expected a plain name")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in name):
        raise PhotoError(Reason.UNREADABLE, "the file's name holds invisible characters; expected a plain name")
    suffix = re.search(r"\.([^.]+)$", name)
    if suffix and suffix[1].lower() not in SUFFIXES[found]:
        wanted = ", ".join(f".{s}" for s in SUFFIXES[found])
        raise PhotoError(Reason.UNSUPPORTED, f"the file is a {found} but is not called so; expected {wanted}")


def check_end(data: bytes, found: str) -> None:
    """Raises PhotoError where something else follows the picture in its file, or it is animated."""
    if found == "PNG":
        _check_png(data)
    elif found == "WEBP":
        _check_webp(data)
    else:
        _check_jpeg(data)


def _check_png(data: bytes) -> None:
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + size
        if kind == b"acTL":
            raise PhotoError(Reason.UNSUPPORTED, "the image is animated; expected a still one")
        if kind == b"IEND":
            if at != len(data):
                raise PhotoError(Reason.UNREADABLE, f"{len(data) - at} bytes follow the end of the image")
            return
    raise PhotoError(Reason.UNREADABLE, "the image is cut off: its end is missing")


def _check_webp(data: bytes) -> None:
    (size,) = struct.unpack_from("<I", data, 4) if len(data) >= 12 else (0,)
    end = 8 + size + size % 2
    if end > len(data) + size % 2:
        raise PhotoError(Reason.UNREADABLE, "the image is cut off: its end is missing")
    if len(data) > end:
        raise PhotoError(Reason.UNREADABLE, f"{len(data) - end} bytes follow the end of the image")
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind in (b"ANIM", b"ANMF"):
            raise PhotoError(Reason.UNSUPPORTED, "the image is animated; expected a still one")
        at += 8 + length + length % 2


def _check_jpeg(data: bytes) -> None:
    tail = data[_end_of_jpeg(data) :].lower()
    for mark in FOREIGN:
        if mark.lower() in tail:
            raise PhotoError(
                Reason.UNREADABLE, f"another kind of file follows the end of the image ({len(tail)} bytes)"
            )


def _end_of_jpeg(data: bytes) -> int:
    """Where the first picture in the file ends. Raises PhotoError where it does not."""
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise PhotoError(Reason.UNREADABLE, "the image is cut off: its end is missing")
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker in (0x00, 0xFF, 0x01) or 0xD0 <= marker <= 0xD8:  # stuffing, filling, restarts: no length follows
            at += 1 if marker == 0xFF else 2
            continue
        if at + 4 > len(data):
            raise PhotoError(Reason.UNREADABLE, "the image is cut off: its end is missing")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
