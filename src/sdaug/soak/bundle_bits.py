"""A bit of every byte of a small enrolment bundle flipped, on a disk, in each of its forms, and every bit of it as a
folder: verification must notice each one."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sdaug.enrolment.bundle import BundleSample, write_bundle
from sdaug.enrolment.signing import public_of
from sdaug.enrolment.terms import Terms
from sdaug.enrolment.verify import BundleError, Expected, verify_bundle
from sdaug.types import Pose, QualityScore

KEY = bytes(range(32))
"""Of nothing but this proof."""

FORMS: dict[str, tuple[str, Terms, Expected]] = {
    "folder": ("bundle", Terms(), Expected()),
    "zip": ("bundle.zip", Terms(), Expected()),
    "encrypted": ("bundle.sealed", Terms(key=KEY), Expected(key=KEY)),
    "signed": ("signed", Terms(sign_with=KEY), Expected(public_key=public_of(KEY))),
    "signed, key not given": ("unverified", Terms(sign_with=KEY), Expected(unverified_signature=True)),
}
"""A name for the bundle, how it is written, and what it is held against."""


def thorough(form: str, at: int) -> Iterable[int]:
    """All eight bits of a byte in a folder, in the other forms one."""
    return range(8) if form == "folder" else (at % 8,)


def bundle_bits(bits: Callable[[str, int], Iterable[int]] = thorough) -> dict[str, Any]:
    """How many flips were tried in each form, and which went unnoticed or ended in anything but a refusal.

    bits: which bits of the byte at an offset are flipped, by form and offset.
    """
    cases, problems = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for form, (name, terms, expected) in FORMS.items():
            path = small_bundle(Path(folder) / name, terms)
            verify_bundle(path, expected=expected)
            outcomes = dict(tqdm(flips(path, expected, partial(bits, form)), desc=form, unit="flip", disable=None))
            verify_bundle(path, expected=expected)
            cases[form] = len(outcomes)
            problems |= {f"{form}: {place}": wrong for place, wrong in outcomes.items() if wrong}
    count = sum(cases.values())
    return {"passed": not problems, "cases": count, "by_form": cases, "failed": len(problems), "problems": problems}


def flips(path: Path, expected: Expected, bits: Callable[[int], Iterable[int]]) -> Iterator[tuple[str, str | None]]:
    """Each flip by file, byte and bit, and what is wrong with how it was met; None if it was refused."""
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        good = file.read_bytes()
        for at in range(len(good)):
            for bit in bits(at):
                file.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
                yield f"{file.name} byte {at} bit {bit}", _met(path, expected)
        file.write_bytes(good)


def _met(path: Path, expected: Expected) -> str | None:
    try:
        verify_bundle(path, expected=expected)
    except BundleError:
        return None
    except Exception as error:
        return f"not refused but broken off: {error!r}"
    return "not noticed"


def small_bundle(path: Path, terms: Terms) -> Path:
    """A bundle of a few kilobytes with a photo, a generated view and a refused one, by a recogniser that is none."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    photo = BundleSample("captured", "source", pixels, "ab" * 32, True, measured=Pose(1.5, -2.0))
    view = BundleSample(
        "generated", "yaw+45_pitch+00", pixels[::-1], "ab" * 32, True,
        requested=Pose(45, 0), measured=Pose(41, 1), rung="diffusion", similarity={"none": 0.75},
        quality={"sharpness": QualityScore(12.5, 0.9)},
    )  # fmt: skip
    refused = BundleSample("classical", "yaw-45_pitch+00", None, "ab" * 32, False, rung="refused", reasons=("blurred",))
    return write_bundle(
        path,
        subject="nobody",
        samples=[photo, view, refused],
        embed=lambda image: np.eye(4, dtype=np.float32)[int(image[0, 0, 0]) % 4],
        recogniser={"name": "none", "sha256": "cd" * 32, "dim": 4, "metric": "cosine"},
        detector={"name": "none"},
        generator={"name": "none", "version": "0"},
        policy={},
        tool={"name": "sdaug.soak", "version": "0"},
        created="2030-01-31T12:00:00Z",
        terms=terms,
    )
