"""The GPU that PyTorch uses, as NVML knows it."""

import importlib
import importlib.util
from typing import Any


def open_card(torch: Any) -> tuple[Any, Any] | None:
    """(the module pynvml, the card's handle); None without the package nvidia-ml-py, or where NVML knows no such card.

    torch: the module, with a GPU in use.
    """
    if importlib.util.find_spec("pynvml") is None:
        return None
    nvml = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
        return nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError:
        return None
