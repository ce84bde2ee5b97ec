"""Memory meters on a machine made up: its /proc, its /sys, its torch.cuda."""

import importlib.util
import os
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from sdaug.measure.memory import METERS, SAMPLED_PEAKS, meters, unified_memory, watch

MB = 2**20


@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "sys/kernel/debug/nvmap/iovmm").mkdir(parents=True)
    write_meminfo(tmp_path, 8000)
    return tmp_path


def write_meminfo(root, available_mb: int, nvmap_mb: int | None = None):
    lines = ["MemTotal:       16384000 kB", f"MemAvailable:   {available_mb * 1024} kB", "HugePages_Total:       3"]
    lines += [] if nvmap_mb is None else [f"NvMapMemUsed:     {nvmap_mb * 1024} kB"]
    draft = root / "proc/draft"
    draft.write_text("\n".join(lines) + "\n")
    draft.replace(root / "proc/meminfo")


class FakeCuda:
    """A GPU whose allocations a test sets."""

    def __init__(self, integrated=False):
        self.allocated = self.peak = 0
        self.free, self.integrated = 6000 * MB, integrated

    def take(self, size):
        self.allocated += size
        self.peak = max(self.peak, self.allocated)

    def is_available(self):
        return True

    def current_device(self):
        return 0

    def get_device_properties(self, _):
        return SimpleNamespace(is_integrated=int(self.integrated), uuid="0f1e")

    def memory_allocated(self):
        return self.allocated

    def max_memory_allocated(self):
        return self.peak

    def memory_reserved(self):
        return 2 * self.allocated

    def max_memory_reserved(self):
        return 2 * self.peak

    def reset_peak_memory_stats(self):
        self.peak = self.allocated

    def mem_get_info(self):
        return self.free, 8000 * MB


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    return fake


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)))


def nvml(monkeypatch, processes, fails=False):
    class NVMLError(Exception):
        pass

    def running(handle):
        assert handle == "GPU-0f1e"
        if fails:
            raise NVMLError("not supported")
        return processes

    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetComputeRunningProcesses=running,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: "here")


def test_every_meter_is_described_and_a_missing_one_is_none_and_never_0(root, no_gpu):
    read = meters(root)
    assert set(read) == set(METERS)
    assert read["resident"] > MB and read["system_available"] == 8000 * MB
    here = {"resident", "system_available"} | ({"resident_peak"} if sys.platform == "linux" else set())
    assert {name for name, value in read.items() if value is not None} == here
    (root / "proc/meminfo").unlink()
    assert meters(root)["system_available"] is None


def test_the_real_machine_is_read():
    read = meters()
    assert read["resident"] <= read["resident_peak"] + 4 * MB, "the kernel counts a thread's pages a little late"
    assert MB < read["system_available"] < 2**50


def test_torch_is_not_loaded_to_read_a_meter(root, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert meters(root)["cuda_allocated"] is None and "torch" not in sys.modules


def test_a_gpu_nobody_uses_reads_0_which_is_measured(root, cuda):
    read = meters(root)
    assert (read["cuda_allocated"], read["cuda_reserved_peak"], read["gpu_used"]) == (0, 0, 2000 * MB)
    assert read["gpu_process"] is None


def test_a_process_is_found_by_its_number_or_there_is_no_figure(root, cuda, monkeypatch):
    ours = SimpleNamespace(pid=os.getpid(), usedGpuMemory=300 * MB)
    other = SimpleNamespace(pid=os.getpid() + 1, usedGpuMemory=900 * MB)
    for processes, fails, expected in (
        ([other, ours], False, 300 * MB),
        ([other], False, None),
        ([SimpleNamespace(pid=os.getpid(), usedGpuMemory=None)], False, None),
        ([ours], True, None),
    ):
        nvml(monkeypatch, processes, fails)
        assert meters(root)["gpu_process"] == expected


def test_a_jetsons_own_files_are_read(root, no_gpu):
    write_meminfo(root, 4000, nvmap_mb=700)
    maps = root / "sys/kernel/debug/nvmap/iovmm/maps"
    maps.write_text(
        "CLIENT                        PROCESS      PID        SIZE\n"
        f"user                          python3  {os.getpid():6}     524288K\n"
        "                              0000000002000000        4K  kmalloc\n"
        f"user                          python3  {os.getpid():6}          2M\n"
        f"user                          Xorg     {os.getpid() + 1:6}      81920K\n"
        "total                                                606208K\n"
    )
    read = meters(root)
    assert (read["nvmap_process"], read["nvmap"]) == (514 * MB, 700 * MB)
    maps.write_text("CLIENT                        PROCESS      PID        SIZE\n")
    assert meters(root)["nvmap_process"] is None


def test_a_file_only_root_may_read_is_no_figure(root, no_gpu, monkeypatch):
    maps = root / "sys/kernel/debug/nvmap/iovmm/maps"
    maps.write_text(f"user python3 {os.getpid()} 4K\n")
    assert meters(root)["nvmap_process"] == 4096

    real = type(maps).read_text

    def refuse(path, **options):
        if path == maps:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(type(maps), "read_text", refuse)
    read = meters(root)
    assert read["nvmap_process"] is None and read["system_available"] == 8000 * MB


def test_unified_memory_is_known_by_the_board_or_by_the_gpu(root, cuda, monkeypatch):
    assert unified_memory(root) is False
    cuda.integrated = True
    assert unified_memory(root) is True
    monkeypatch.delitem(sys.modules, "torch")
    assert unified_memory(root) is None
    (root / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.0")
    assert unified_memory(root) is True


def test_watch_sees_the_peak_of_its_block_and_nothing_of_before(root, cuda):
    cuda.take(500 * MB)
    cuda.take(-400 * MB)
    with watch(root, period_s=0.002) as memory_:
        assert memory_.peaks == {}
        cuda.take(30 * MB)
        cuda.free = 5000 * MB
        write_meminfo(root, 7000, nvmap_mb=70)
        time.sleep(0.1)
        cuda.take(-30 * MB)
        cuda.free = 6000 * MB
        write_meminfo(root, 7900, nvmap_mb=10)
        time.sleep(0.02)
    assert memory_.peaks == {
        "cuda_allocated_peak": 130 * MB,
        "cuda_reserved_peak": 260 * MB,
        "resident_peak_sampled": memory_.peaks["resident_peak_sampled"],
        "gpu_used_peak": 3000 * MB,
        "gpu_process_peak": None,
        "nvmap_process_peak": None,
        "nvmap_peak": 70 * MB,
        "system_taken_peak": 1000 * MB,
    }
    assert set(SAMPLED_PEAKS.values()) < set(memory_.peaks)


def test_a_real_array_shows_in_the_sampled_peak():
    with watch() as none:
        time.sleep(0.05)
    with watch() as some:
        array = np.ones(30 * MB)
        time.sleep(1.0)  # on a busy machine it is looked at less often
        del array
    assert some.peaks["resident_peak_sampled"] - none.peaks["resident_peak_sampled"] > 200 * MB


def test_what_was_watched_is_there_after_an_error_and_the_thread_is_gone(root, no_gpu):
    with pytest.raises(RuntimeError, match="inside"), watch(root) as memory_:
        raise RuntimeError("inside")
    assert memory_.peaks["system_taken_peak"] == 0 and memory_.peaks["cuda_allocated_peak"] is None
    assert "sdaug-memory" not in {thread.name for thread in threading.enumerate()}
