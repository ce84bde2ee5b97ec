"""The libraries that a pipeline is loaded with, imported before its weights are, so that each has its own seconds."""

import importlib
import time

CLASSES = {
    "torch": ("nn",),
    "diffusers": ("AutoencoderKL", "AutoencoderTiny", "ControlNetModel", "DDIMScheduler", "UNet2DConditionModel"),
    "transformers": ("CLIPTextModel", "CLIPTokenizer"),
    "safetensors.torch": ("load_file",),
    "accelerate": ("init_empty_weights",),
}
"""Names that are imported at their first use: asking for them is what takes the time."""


def import_libraries() -> float:
    """Seconds it took; next to nothing where they are imported already."""
    started = time.perf_counter()
    for module, names in CLASSES.items():
        found = importlib.import_module(module)
        for name in names:
            getattr(found, name)
    return time.perf_counter() - started
