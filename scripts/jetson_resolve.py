"""Pins for a Jetson, resolved for its Python and C library from wheels alone, or a check that they still can be.

python scripts/jetson_resolve.py [--check | --overrides]

torch and torchvision are left out, since their wheels come from NVIDIA or the Jetson AI Lab and never from PyPI.
face_recognition_models is the one package without a wheel; it holds data and compiles nothing.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "constraints" / "pins.txt"
VENDOR = ("torch", "torchvision")
MEDIAPIPE = "mediapipe==0.10.18"
"""The last one with wheels for aarch64."""


@dataclass(frozen=True)
class JetPack:
    """file: of its pins. platform: uv's name for 64-bit ARM with its Ubuntu's C library."""

    name: str
    python: str
    platform: str
    file: str


JETPACKS = (
    JetPack("JetPack 6.1 (L4T 36.4, Ubuntu 22.04, CUDA 12.6)", "3.10", "aarch64-manylinux_2_35", "jetson-jp61.txt"),
    JetPack("JetPack 7.2 (Ubuntu 24.04, CUDA 13.2)", "3.12", "aarch64-manylinux_2_39", "jetson-jp72.txt"),
)


def overrides() -> str:
    """What replaces every package's own wish.

    >>> print(overrides(), end="")
    torch ; sys_platform == 'never'
    torchvision ; sys_platform == 'never'
    mediapipe==0.10.18
    """
    return "".join(f"{name} ; sys_platform == 'never'\n" for name in VENDOR) + f"{MEDIAPIPE}\n"


def pins_without_vendor(text: str) -> str:
    """The lines of pins.txt that a Jetson shares.

    >>> pins_without_vendor("# why\\ntorch==2.15.0\\nmediapipe==0.10.21\\nnumpy==1.26.4\\n")
    '# why\\nnumpy==1.26.4\\n'
    """
    others = tuple(f"{name}==" for name in (*VENDOR, "mediapipe"))
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(others))


def resolve(jetpack: JetPack, folder: Path, constraints: Path) -> tuple[int, str]:
    """(exit status, pins or uv's complaint) of a dry run under `constraints`; nothing is installed."""
    (folder / "overrides.txt").write_text(overrides(), encoding="utf-8")
    command = [
        str(Path(sys.executable).parent / "uv"), "pip", "compile", str(ROOT / "pyproject.toml"), "--no-header",
        "--extra", "service", "--no-annotate", "--quiet",
        "--python-version", jetpack.python, "--python-platform", jetpack.platform,
        "--constraints", str(constraints), "--override", str(folder / "overrides.txt"),
        "--only-binary", ":all:", "--no-binary", "face-recognition-models",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def head(jetpack: JetPack) -> str:
    return (
        f"# {jetpack.name}, Python {jetpack.python}, 64-bit ARM. Written by scripts/jetson_resolve.py; never run on a\n"
        "# Jetson. torch and torchvision are not here: docs/jetson.md says which index they come from.\n"
    )


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"], ["--overrides"]):
        sys.stderr.write(f"unknown arguments {arguments}; there are: --check, --overrides\n")
        return 2
    if arguments == ["--overrides"]:
        sys.stdout.write(overrides())
        return 0
    status = 0
    for jetpack in JETPACKS:
        target = ROOT / "constraints" / jetpack.file
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "pins.txt").write_text(pins_without_vendor(PINS.read_text(encoding="utf-8")), encoding="utf-8")
            failed, found = resolve(jetpack, folder, target if arguments else folder / "pins.txt")
        if failed:
            sys.stderr.write(f"{jetpack.name}: {found}")
            status = 1
        elif not arguments:
            draft = target.with_suffix(".txt.new")
            draft.write_text(head(jetpack) + found, encoding="utf-8")
            os.replace(draft, target)
        elif head(jetpack) + found != target.read_text(encoding="utf-8"):
            sys.stderr.write(
                f"{target.name} does not hold all that is needed now; run: python scripts/jetson_resolve.py\n"
            )
            status = 1
        else:
            sys.stdout.write(
                f"{target.name}: {len(found.splitlines())} packages, all with wheels for {jetpack.platform}\n"
            )
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
