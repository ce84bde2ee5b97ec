"""Memory meters, each under its own name; bytes, and None where the meter does not exist on this machine."""

import os
import sys

import psutil


def meters() -> dict[str, int | None]:
    """What each meter reads now.

    resident: this process's pages in RAM. resident_peak: their highest so far. system_available: what the machine could
    still give. cuda_allocated_peak, cuda_reserved_peak: PyTorch's tensors and its pool on the GPU since start or reset.
    """
    return {
        "resident": psutil.Process(os.getpid()).memory_info().rss,
        "resident_peak": _resident_peak(),
        "system_available": psutil.virtual_memory().available,
        "cuda_allocated_peak": _cuda("max_memory_allocated"),
        "cuda_reserved_peak": _cuda("max_memory_reserved"),
    }


def _resident_peak() -> int | None:
    """The kernel's own high-water mark, where there is one."""
    if not sys.platform.startswith("linux"):
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cuda(meter: str) -> int | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return getattr(torch.cuda, meter)()
