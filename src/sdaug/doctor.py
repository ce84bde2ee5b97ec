"""Is this machine ready? Each check says what it found, what was wanted and what to do."""

import importlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdaug.measure.environment import version

PACKAGES = (
    "jupyterlab", "papermill", "diffusers", "transformers", "accelerate", "controlnet-aux", "torch", "insightface",
    "opencv-python", "scikit-learn", "matplotlib", "pandas", "mlflow", "pytest", "nbval",
)  # fmt: skip
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")
NEEDED_DISK_GB = 10


@dataclass(frozen=True)
class Check:
    """One finding. A check that is not `required` does not make the machine unready."""

    name: str
    ok: bool
    found: str
    wanted: str
    hint: str = ""
    required: bool = True


def examine() -> list[Check]:
    """All checks, in order; each is independent of the others."""
    checks = [_python(), *(_package(name) for name in PACKAGES), _opencv()]
    checks += [
        _import("diffusers", "StableDiffusionPipeline"),
        _import("controlnet_aux", "MediapipeFaceDetector"),
        _import("mediapipe.python.solutions", "face_mesh"),
        _import("dlib", "face_recognition_model_v1"),
        _gpu(),
        _disk(),
        _weights(),
    ]
    return checks


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", (3, 10) <= sys.version_info[:2] <= (3, 12), found, "3.10 to 3.12", "use another Python")


def _package(name: str) -> Check:
    found = version(name)
    optional = name in ("jupyterlab", "pytest", "nbval")
    hint = "pip install 'sdaug[lab,test]'" if optional else "install with `make install`"
    return Check(f"package {name}", found is not None, found or "not installed", "installed", hint, not optional)


def _opencv() -> Check:
    found = {name: version(name) for name in OPENCV}
    installed = {v for v in found.values() if v is not None}
    text = ", ".join(f"{name} {v}" for name, v in found.items() if v)
    hint = "reinstall with the constraints file: three distributions share one cv2 folder, and must be one version"
    return Check("one OpenCV", len(installed) == 1, text or "none", "the same version in all of them", hint)


def _import(module: str, name: str) -> Check:
    wanted = f"from {module} import {name}"
    try:
        getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, OSError) as error:
        return Check(wanted, False, f"{type(error).__name__}: {error}", "imports", "install with the constraints file")
    return Check(wanted, True, "imports", "imports")


def _gpu() -> Check:
    def look() -> str:
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"

    found = _safely(look)
    return Check("gpu", found != "none", found, "a CUDA device", "the CPU is used in float32, slowly", required=False)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Check("free disk", free >= NEEDED_DISK_GB, f"{free:.0f} GB", f"{NEEDED_DISK_GB} GB", "free some space")


def _weights() -> Check:
    def look() -> str:
        from sdaug.config import ModelSettings
        from sdaug.synthesis.weights import WeightsError, load_components

        try:
            load_components(ModelSettings(device="cpu"))
        except WeightsError as error:
            return f"none: {error}"
        return "present"

    found = _safely(look)
    hint = "without them every image is made by the warp (rung `warp`, reason `weights_missing`)"
    return Check("SD1.5 and ControlNet weights", found == "present", found, "in the hub cache", hint, required=False)


def _safely(look: Callable[[], str]) -> str:
    """The finding, or why there is none: a broken package must not hide the other checks."""
    try:
        return look()
    except (ImportError, OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
