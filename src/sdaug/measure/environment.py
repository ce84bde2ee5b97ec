"""The facts of machine and software that a number belongs to, and of the code that made it."""

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from sdaug.measure.memory import unified_memory

PACKAGES = (
    "sdaug", "torch", "diffusers", "transformers", "accelerate", "controlnet-aux", "mediapipe", "insightface",
    "onnxruntime", "dlib-bin", "opencv-python", "numpy", "mlflow", "papermill",
)  # fmt: skip


def version(package: str) -> str | None:
    """The installed version of a package, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's marketing name where Linux tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def device_class(device: str) -> str:
    """What kind of machine computes on `device`, told without PyTorch: results of two kinds are not one result.

    A CPU's name and how many cores it may use; of a GPU the board's name (Jetson), else what NVIDIA's driver calls the
    first one.
    """
    if device.split(":")[0] != "cuda":
        return f"{processor()} x {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}"
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text(encoding="utf-8").rstrip("\0")
    for facts in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("Model:"):
                return line.split(":", 1)[1].strip()
    return "no GPU"


def software() -> dict[str, str | None]:
    """What lies below the packages: CUDA and cuDNN that PyTorch is built with, if it is loaded, NVIDIA's driver and, on
    a Jetson, L4T's release. None where there is none."""
    torch = sys.modules.get("torch")
    cudnn = None if torch is None else torch.backends.cudnn.version()
    return {
        "cuda": None if torch is None else torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
        "driver": first_line(Path("/proc/driver/nvidia/version")),
        "l4t": first_line(Path("/etc/nv_tegra_release")),
    }


def first_line(path: Path) -> str | None:
    """Of a file that need not be there."""
    try:
        return next(iter(path.read_text(encoding="utf-8", errors="replace").splitlines()), None)
    except OSError:
        return None


def environment() -> dict[str, Any]:
    """Machine and package facts, JSON-able. Of the GPU only if PyTorch is already loaded."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": gpu,
        "unified_memory": unified_memory(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "software": software(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def commit() -> dict[str, Any] | None:
    """The checkout that this code lies in; None where it is none. clean: no file of the package differs."""
    package = Path(__file__).parents[1]
    commands = ["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "."]
    try:
        head, changed = (
            subprocess.run(command, cwd=package, check=True, capture_output=True, text=True).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"sha": head, "clean": not changed}


def provenance() -> dict[str, Any]:
    """Of which code, when and where a result is, JSON-able; to be asked for before it is made, which may take long."""
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"commit": commit(), "date": date, "machine": environment()}
