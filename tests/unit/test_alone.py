"""One process at a time with a folder of results."""

import os
import shutil
import subprocess
import sys

import pytest

from sdaug.alone import Busy, alone
from sdaug.photos import photo_path

HOLDER = """
import sys, time; from pathlib import Path; from sdaug.alone import alone
with alone(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path, seconds: float) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"held\n"
    return process


def test_another_process_is_refused_by_number_until_the_first_is_killed(tmp_path):
    first = holder(tmp_path / "a" / ".lock", 60)
    with (
        pytest.raises(Busy, match=f"process {first.pid} on .* is at work in {tmp_path}/a"),
        alone(tmp_path / "a" / ".lock", wait=False),
    ):
        raise AssertionError("both are in")
    first.kill()
    first.wait()
    with alone(tmp_path / "a" / ".lock", wait=False):
        assert (tmp_path / "a" / ".lock").read_text().startswith(f"{os.getpid()} on ")


def test_another_process_can_be_waited_for(tmp_path, caplog):
    first = holder(tmp_path / "one.lock", 2)
    with alone(tmp_path / "one.lock", wait=True):
        assert first.wait(10) == 0
    assert f"waiting for process {first.pid} on" in caplog.text and "at work on one.lock" in caplog.text


def test_a_sweep_and_a_folder_to_enrol_are_one_processes_at_a_time(sdaug, tmp_path, root, monkeypatch):
    monkeypatch.chdir(root)
    first = holder(tmp_path / "out" / ".lock", 60)
    try:
        people = tmp_path / "people"
        people.mkdir()
        shutil.copy(photo_path("astronaut"), people / "p1.jpg")
        busy = sdaug("sweep", "experiments/demo.yaml", "--out", tmp_path / "out", "--yes")
        assert busy.code == 2 and f"process {first.pid}" in busy.err, busy.err
        assert sdaug("sweep", "experiments/demo.yaml", "--out", tmp_path / "out", "--dry-run").code == 0
        busy = sdaug("enrol-folder", people, "--out", tmp_path / "out", "--backend", "warp")
        assert busy.code == 2 and f"process {first.pid}" in busy.err, busy.err
    finally:
        first.kill()
        first.wait()
