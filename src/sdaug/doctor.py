"""Is this machine ready? Each check says what it found, what was wanted and what to do."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from sdaug.config import ModelSettings
from sdaug.diffusion.weights import WeightsError, locate
from sdaug.measure.environment import version

IMPORTS = (
    "from diffusers import StableDiffusionPipeline",
    "from controlnet_aux import MediapipeFaceDetector",
    "from mediapipe.python.solutions import face_mesh",
    "from dlib import face_recognition_model_v1",
)
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
NEEDED_DISK_GB = 10
PROBE_DEADLINE_S = 180
"""How long an import may take. A cold one from an SD card takes a minute; one that hangs must not hang the doctor."""

INSTALL = "run `make install`, or install with the constraints file"


@dataclass(frozen=True)
class Check:
    """One finding. A check that is not `required` does not make the machine unready."""

    name: str
    ok: bool
    found: str
    wanted: str
    hint: str = ""
    required: bool = True


OPTIONAL = {"gpu": "gpu", "weights": "SD1.5 and ControlNet weights"}
"""What a machine may do without, unless it is asked for: the name of each one's check."""


def examine(require: Collection[str] = ()) -> list[Check]:
    """All checks, in order, each independent of the others. Nothing is downloaded and no weights are read.

    require: those of `OPTIONAL` without which the machine is not ready.
    """
    wanted = {OPTIONAL[name] for name in require}
    with ThreadPoolExecutor() as pool:  # the slow ones are processes of their own
        imports = pool.map(_import, IMPORTS)
        gpu = pool.submit(_gpu)
        checks = [_python(), *_packages(), _opencv(), *imports, gpu.result(), _disk(), _weights()]
    return [replace(check, required=True) if check.name in wanted else check for check in checks]


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", (3, 10) <= sys.version_info[:2] <= (3, 12), found, "3.10 to 3.12", "use another Python")


def _packages() -> list[Check]:
    """What sdaug's own metadata asks for, version for version."""
    try:
        wanted = metadata.requires("sdaug") or []
    except metadata.PackageNotFoundError:
        return [Check("package sdaug", False, "not installed", "installed", INSTALL)]
    checks: dict[str, Check] = {}
    for line in wanted:
        check = _package(Requirement(line))
        checks.setdefault(check.name, check)  # an extra may repeat another's
    return list(checks.values())


def _package(wanted: Requirement) -> Check:
    found = version(wanted.name)
    extra = re.search(r'extra == "(\w+)"', str(wanted.marker))
    # Pre-releases count: NVIDIA's torch for Jetson is one.
    ok = found is not None and wanted.specifier.contains(found, prereleases=True)
    hint = f"pip install 'sdaug[{extra[1]}]'" if extra else INSTALL
    specifier = str(wanted.specifier) or "any version"
    return Check(f"package {wanted.name}", ok, found or "not installed", specifier, hint, required=extra is None)


def _opencv() -> Check:
    found = {name: number for name in OPENCV if (number := version(name)) is not None}
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    hint = f"these distributions share one cv2 folder: {INSTALL}"
    return Check("one OpenCV", len(set(found.values())) == 1, text or "none", "one version in all of them", hint)


def _import(statement: str) -> Check:
    ok, found = _probe(statement)
    return Check(statement, ok, found or "imports", "imports", INSTALL)


def _gpu() -> Check:
    code = (
        "import torch\n"
        "name = torch.cuda.get_device_name() if torch.cuda.is_available() else ''\n"
        "print(name or f'none (torch {torch.__version__}, built for CUDA {torch.version.cuda})', file=answer)\n"
    )
    ok, found = _probe(code)
    there = ok and not found.startswith("none")
    return Check(OPTIONAL["gpu"], there, found, "a CUDA device", "the CPU is used in float32, slowly", required=False)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    hint = "free some space: the weights alone take 6 GB, and sweeps keep every image"
    return Check("free disk", free >= NEEDED_DISK_GB, f"{free:.0f} GB", f"{NEEDED_DISK_GB} GB", hint)


def _weights() -> Check:
    name, wanted = OPTIONAL["weights"], "in the hub's cache"
    try:
        files = locate(ModelSettings())
        found = f"{len(files)} files, {sum(path.stat().st_size for path in files.values()) / 1e9:.1f} GB"
    except (WeightsError, ImportError, OSError) as error:
        hint = "`sdaug models pull sd15 controlnet-mediapipe-face` or --model FOLDER; until then images are warps"
        return Check(name, False, f"{type(error).__name__}: {error}", wanted, hint, required=False)
    return Check(name, True, found, wanted, required=False)


def _probe(code: str) -> tuple[bool, str]:
    """Whether `code` runs to its end in a Python of its own, and what it wrote to `answer`, else its error in one line.

    A process of its own, because a wrong wheel may crash rather than raise, and because what libraries say while they
    are imported is for no terminal.
    """
    preamble = (
        f"import os, sys\nsys.path[:] = {sys.path!r}\n"
        "answer = os.fdopen(os.dup(1), 'w')\nos.dup2(2, 1)\n"
        "sys.excepthook = lambda kind, error, _: print(f'{kind.__name__}:', *str(error).split(), file=answer)\n"
    )
    command = [sys.executable, "-c", preamble + code]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        return False, f"not finished after {PROBE_DEADLINE_S} s"
    if done.returncode < 0:
        return False, f"died of {signal.Signals(-done.returncode).name}"
    found = done.stdout.strip()
    return done.returncode == 0, found if done.returncode == 0 else found or f"exit status {done.returncode}"
