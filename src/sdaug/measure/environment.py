"""The facts of machine and software that a number belongs to."""

import os
import platform
import sys
from importlib import metadata
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
        "packages": {name: version(name) for name in PACKAGES},
    }
