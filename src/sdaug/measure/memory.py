"""Memory meters, each under its own name; bytes, and None where the meter does not exist on this machine.

No two of them measure the same thing. On a GPU with memory of its own `cuda_*` and `gpu_*` count the card's and the
rest the processor's; where memory is unified (a Jetson), all of them count parts of one and the same memory.
"""

import ctypes
import functools
import gc
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sdaug.measure.nvml import open_card

METERS = {
    "resident": "this process's pages in RAM (RSS)",
    "resident_peak": "the kernel's own high-water mark of it since the process started",
    "system_available": "what the machine could still give (MemAvailable)",
    "cuda_allocated": "PyTorch's tensors on the current GPU",
    "cuda_allocated_peak": "the highest of it since start or reset; what a budget in GB is about",
    "cuda_reserved": "PyTorch's pool that they lie in",
    "cuda_reserved_peak": "the highest of it since start or reset",
    "gpu_used": "everybody's memory on the current GPU, as CUDA tells; on a Jetson it counts page cache as used",
    "gpu_process": "this process's memory on the current GPU, as NVML tells (package nvidia-ml-py); none on a Jetson",
    "nvmap_process": "this process's GPU memory on a Jetson (root only)",
    "nvmap": "everybody's GPU memory on a Jetson (NvMapMemUsed)",
}
"""What each meter of `meters` is."""

SAMPLED_PEAKS = {
    "resident": "resident_peak_sampled",
    "gpu_used": "gpu_used_peak",
    "gpu_process": "gpu_process_peak",
    "nvmap_process": "nvmap_process_peak",
    "nvmap": "nvmap_peak",
}
"""Meters without a high-water mark of their own, and what `watch` calls the highest value that it has seen."""

PERIOD_S = 0.02

MOST_OF_THE_TIME = 0.005
"""Of a processor's time, what reading may take: where it is slow it is done less often."""

ROOT = Path("/")

_NVMAP_CLIENT = re.compile(r"^\w+\s+\S+\s+(\d+)\s+(\d+)([KMG]?)\s*$")
_MEMINFO = re.compile(r"^(MemAvailable|NvMapMemUsed):\s+(\d+) kB", re.MULTILINE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def meters(root: Path = ROOT) -> dict[str, int | None]:
    """What every meter of `METERS` reads now. root: where /proc and /sys lie."""
    return {
        **_sampled(root),
        "resident_peak": _resident_peak(),
        "cuda_allocated": _cuda("memory_allocated"),
        "cuda_allocated_peak": _cuda("max_memory_allocated"),
        "cuda_reserved": _cuda("memory_reserved"),
        "cuda_reserved_peak": _cuda("max_memory_reserved"),
    }


@dataclass
class Watched:
    """peaks: bytes by meter, filled when the block that was watched ends."""

    peaks: dict[str, int | None] = field(default_factory=dict)


@contextmanager
def watch(root: Path = ROOT, period_s: float = PERIOD_S) -> Iterator[Watched]:
    """Peaks of the block: PyTorch's own, exact; the values of `SAMPLED_PEAKS`, read every `period_s` (less often where
    that would take more than `MOST_OF_THE_TIME`); and `system_taken_peak`, the furthest that MemAvailable fell below
    its value at the start, whoever took it.

    PyTorch's peaks start anew with the block. A peak of 0 is a measured one; a meter that is not here has None.
    """
    before = _sampled(root)
    highest, least = dict(before), before["system_available"]
    if before["gpu_used"] is not None:
        sys.modules["torch"].cuda.reset_peak_memory_stats()
    over = threading.Event()

    def sample() -> None:
        nonlocal least
        now = _sampled(root)
        for name, value in now.items():
            if value is not None:
                highest[name] = max(value, highest[name] or 0)
        available = now["system_available"]
        if available is not None:
            least = available if least is None else min(least, available)

    def sample_on() -> None:
        pause = period_s
        while not over.wait(pause):
            began = time.thread_time()
            sample()
            pause = max(period_s, (time.thread_time() - began) / MOST_OF_THE_TIME)

    thread = threading.Thread(target=sample_on, name="sdaug-memory", daemon=True)
    watched = Watched()
    thread.start()
    try:
        yield watched
    finally:
        over.set()
        thread.join()
        sample()
        start = before["system_available"]
        watched.peaks |= {
            "cuda_allocated_peak": _cuda("max_memory_allocated"),
            "cuda_reserved_peak": _cuda("max_memory_reserved"),
            **{peak: highest[name] for name, peak in SAMPLED_PEAKS.items()},
            "system_taken_peak": None if start is None or least is None else start - least,
        }


def unified_memory(root: Path = ROOT) -> bool | None:
    """Whether GPU and processor share one memory; None without a GPU, or before PyTorch is loaded."""
    if (root / "etc/nv_tegra_release").exists():
        return True
    torch = torch_with_gpu()
    return None if torch is None else bool(torch.cuda.get_device_properties(torch.cuda.current_device()).is_integrated)


def give_back() -> None:
    """Gives back what nothing refers to any more: Python's garbage, the unused part of PyTorch's pool on the GPU, and
    free pages of the heap, which glibc otherwise keeps for this process (MediaPipe's threads leave many behind)."""
    gc.collect()
    torch = torch_with_gpu()
    if torch is not None:
        torch.cuda.empty_cache()
    glibc = _glibc("malloc_trim")
    if glibc is not None:
        glibc.malloc_trim(0)


def heap_in_use() -> int | None:
    """Bytes that this process has allocated and not freed, by glibc's own count; what leaks shows here, whatever pages
    the heap keeps. None without glibc 2.33 or later."""
    glibc = _glibc("mallinfo2")
    if glibc is None:
        return None
    glibc.mallinfo2.restype = _Mallinfo
    info = glibc.mallinfo2()
    return info.uordblks + info.hblkhd


class _Mallinfo(ctypes.Structure):
    """mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def _glibc(function: str) -> Any:
    """The C library of this process if it has `function`, else None."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, function) else None


def _sampled(root: Path) -> dict[str, int | None]:
    meminfo = _meminfo(root)
    return {
        "resident": _process(os.getpid()).memory_info().rss,
        "system_available": meminfo.get("MemAvailable"),
        "gpu_used": _gpu_used(),
        "gpu_process": _gpu_process(),
        "nvmap_process": _nvmap_process(root),
        "nvmap": meminfo.get("NvMapMemUsed"),
    }


@functools.lru_cache(maxsize=1)
def _process(number: int) -> psutil.Process:
    return psutil.Process(number)


def _meminfo(root: Path) -> dict[str, int]:
    """Of /proc/meminfo what is read here, in bytes; nothing where there is no such file."""
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except FileNotFoundError:
        return {}
    return {name: int(kilobytes) * 1024 for name, kilobytes in _MEMINFO.findall(text)}


def _nvmap_process(root: Path) -> int | None:
    """Sum over this process's clients; None where the file is not there, not readable, or names no such process."""
    try:
        lines = (root / "sys/kernel/debug/nvmap/iovmm/maps").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None
    clients = [line for line in map(_NVMAP_CLIENT.match, lines) if line and int(line[1]) == os.getpid()]
    return sum(int(line[2]) * _UNITS[line[3]] for line in clients) if clients else None


def _resident_peak() -> int | None:
    """The kernel's own high-water mark, where there is one."""
    if not sys.platform.startswith("linux"):
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def torch_with_gpu() -> Any:
    """The module, if it is loaded and has a GPU; None else."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_available() else None


def _cuda(meter: str) -> int | None:
    torch = torch_with_gpu()
    return None if torch is None else int(getattr(torch.cuda, meter)())


def _gpu_used() -> int | None:
    torch = torch_with_gpu()
    if torch is None:
        return None
    free, total = torch.cuda.mem_get_info()
    return total - free


def _gpu_process() -> int | None:
    """NVML lists processes by the number that the driver knows them by; in a container ours may not be among them."""
    torch = torch_with_gpu()
    card = None if torch is None else open_card(torch)
    if card is None:
        return None
    pynvml, handle = card
    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:  # a Jetson's NVML knows no processes
        return None
    return next((process.usedGpuMemory for process in processes if process.pid == os.getpid()), None)
