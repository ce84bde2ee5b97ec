"""Each check fails when it should, says what it found, and nothing that an import prints reaches the terminal."""

import json
import socket
import sys
from collections import namedtuple
from importlib import metadata

import pytest
from click.testing import CliRunner
from huggingface_hub import constants
from packaging.requirements import Requirement

from sdaug import doctor
from sdaug.cli.doctor import command
from sdaug.doctor import Check

NOISE = """
import logging, os, sys, warnings
warnings.warn("this name has moved", FutureWarning)
logging.warning("logged")
print("printed")
os.write(1, b"from C, stdout"); os.write(2, b"from C, stderr")
import atexit; atexit.register(print, "goodbye")
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that an import statement finds, this process's and a probe's."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)

    return write


def check(name: str) -> Check:
    """The one package check of that name."""
    (found,) = [check for check in doctor._packages() if check.name == f"package {name}"]
    return found


# -- python and packages


@pytest.mark.parametrize(
    ("info", "ok"), [((3, 9, 18), False), ((3, 10, 0), True), ((3, 12, 9), True), ((3, 13, 0), False)]
)
def test_python(monkeypatch, info, ok):
    monkeypatch.setattr(sys, "version_info", info)
    found = doctor._python()
    assert (found.ok, found.found, found.required) == (ok, ".".join(map(str, info)), True)


def test_every_named_package_is_checked_and_is_here():
    named = (
        "jupyterlab papermill diffusers transformers accelerate controlnet-aux torch insightface opencv-python "
        "scikit-learn matplotlib pandas mlflow pytest nbval mediapipe dlib-bin numpy"
    )
    checks = {name: check(name) for name in named.split()}
    assert {name: found.found for name, found in checks.items()} == {name: metadata.version(name) for name in checks}
    assert all(found.ok for found in checks.values())


@pytest.mark.parametrize(
    ("wanted", "installed", "ok"),
    [
        ("mediapipe>=0.10.14,<0.10.22", "0.10.21", True),
        ("mediapipe>=0.10.14,<0.10.22", "0.10.30", False),
        ("mediapipe>=0.10.14,<0.10.22", "0.10.9", False),
        ("mediapipe>=0.10.14,<0.10.22", None, False),
        ("torch>=2.6", "2.8.0a0+5228986c39.nv25.5", True),
        ("torch>=2.6", "2.5.0a0+872d972e41.nv24.8", False),
        ("torchvision", "0.1", True),
    ],
)
def test_a_package_of_the_wrong_version_is_seen(monkeypatch, wanted, installed, ok):
    monkeypatch.setattr(doctor, "version", lambda _: installed)
    found = doctor._package(Requirement(wanted))
    assert (found.ok, found.found, found.required) == (ok, installed or "not installed", True)
    assert found.wanted == (str(Requirement(wanted).specifier) or "any version")


def test_a_missing_package_of_an_extra_is_only_a_note(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda _: None)
    lab, core = check("jupyterlab"), check("papermill")
    assert (lab.ok, lab.required, lab.hint) == (False, False, "pip install 'sdaug[lab]'")
    assert (core.ok, core.required) == (False, True) and "make install" in core.hint


def test_sdaug_itself_not_installed(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    (found,) = doctor._packages()
    assert (found.name, found.ok, found.found) == ("package sdaug", False, "not installed")


@pytest.mark.parametrize(
    ("installed", "ok", "text"),
    [
        ({"opencv-python": "4.11.0.86"}, True, "opencv-python 4.11.0.86"),
        (
            {"opencv-python": "4.11.0.86", "opencv-contrib-python": "4.11.0.86"},
            True,
            "opencv-python 4.11.0.86, opencv-contrib-python 4.11.0.86",
        ),
        (
            {"opencv-python": "4.11.0.86", "opencv-python-headless": "4.12.0.88"},
            False,
            "opencv-python 4.11.0.86, opencv-python-headless 4.12.0.88",
        ),
        ({}, False, "none"),
    ],
)
def test_opencv_is_one_version(monkeypatch, installed, ok, text):
    monkeypatch.setattr(doctor, "version", installed.get)
    found = doctor._opencv()
    assert (found.ok, found.found, found.required) == (ok, text, True)


# -- imports


def test_the_missions_import_is_among_those_tried():
    assert "from diffusers import StableDiffusionPipeline" in doctor.IMPORTS


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (None, "ModuleNotFoundError: No module named 'broken'"),
        ("", "ImportError: cannot import name 'Thing' from 'broken'"),
        (
            "raise RuntimeError('failed because of:\\n  libcudart.so.12')",
            "RuntimeError: failed because of: libcudart.so.12",
        ),
        (NOISE + "raise OSError('libgomp.so.1')", "OSError: libgomp.so.1"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died of SIGKILL"),
        ("import sys; sys.exit(3)", "exit status 3"),
        ("import (", "SyntaxError: invalid syntax (broken.py, line 1)"),
    ],
    ids=["absent", "without the name", "raises", "noisy, raises", "crashes", "exits", "damaged"],
)
def test_an_import_that_fails_is_reported_with_its_error(module, capfd, source, found):
    if source is not None:
        module("broken", source)
    result = doctor._import("from broken import Thing")
    assert (result.name, result.ok, result.required) == ("from broken import Thing", False, True)
    assert result.found.startswith(found) and "\n" not in result.found
    assert capfd.readouterr() == ("", "")


def test_an_import_that_hangs_is_given_up(module, monkeypatch):
    monkeypatch.setattr(doctor, "PROBE_DEADLINE_S", 1)
    module("endless", "import time; time.sleep(600)")
    assert doctor._import("import endless").found == "not finished after 1 s"


def test_a_noisy_import_is_quiet_and_leaves_nothing_behind(module, capfd):
    module("noisy", NOISE)
    result = doctor._import("import noisy")
    assert (result.ok, result.found) == (True, "imports")
    assert capfd.readouterr() == ("", "")
    assert "noisy" not in sys.modules


# -- gpu, disk, weights

TORCH = """
__version__ = "2.8.0"
class version: cuda = {cuda!r}
class cuda:
    is_available = staticmethod(lambda: {available})
    get_device_name = staticmethod(lambda: "Orin")
"""


@pytest.mark.parametrize(
    ("source", "ok", "found"),
    [
        (TORCH.format(available=True, cuda="12.6"), True, "Orin"),
        (TORCH.format(available=False, cuda="12.6"), False, "none (torch 2.8.0, built for CUDA 12.6)"),
        (TORCH.format(available=False, cuda=None), False, "none (torch 2.8.0, built for CUDA None)"),
        ("import no_such_library", False, "ModuleNotFoundError: No module named 'no_such_library'"),
    ],
)
def test_gpu(module, source, ok, found):
    module("torch", source)
    result = doctor._gpu()
    assert (result.ok, result.found, result.required) == (ok, found, False)


@pytest.mark.parametrize(("free", "ok"), [(9.4e9, False), (10e9, True)])
def test_disk(monkeypatch, free, ok):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(1e12, 1e12 - free, free))
    found = doctor._disk()
    assert (found.ok, found.found, found.wanted, found.required) == (ok, f"{free / 1e9:.0f} GB", "10 GB", True)


def test_weights_that_are_here_are_counted(tmp_path, monkeypatch):
    for name in ("unet", "vae"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(10**9)
    monkeypatch.setattr(doctor, "locate", lambda _: {name: tmp_path / name for name in ("unet", "vae")})
    found = doctor._weights()
    assert (found.ok, found.found, found.required) == (True, "2 files, 2.0 GB", False)


def test_weights_that_are_not_here_are_a_note_and_the_hub_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the hub was asked"))
    found = doctor._weights()
    assert (found.ok, found.required) == (False, False)
    assert found.found.startswith("WeightsMissing: stable-diffusion-v1-5/stable-diffusion-v1-5 is neither")
    assert "sdaug models pull sd15 controlnet-mediapipe-face" in found.hint and "warp" in found.hint


def test_weights_cannot_be_looked_for_without_the_hubs_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    found = doctor._weights()
    assert not found.ok and found.found.startswith("ModuleNotFoundError: import of huggingface_hub.errors halted")


# -- the command


@pytest.fixture
def quick(monkeypatch):
    """All checks but the heavy imports."""
    monkeypatch.setattr(doctor, "IMPORTS", ("from json import loads",))
    monkeypatch.setattr(doctor, "_gpu", lambda: Check("gpu", False, "none", "a CUDA device", "slow", required=False))
    monkeypatch.setattr(doctor, "_disk", lambda: Check("free disk", True, "63 GB", "10 GB"))


def test_ready_as_json(quick):
    done = CliRunner().invoke(command, ["--json"])
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["ready"]) == (0, True)
    assert all({"name", "ok", "found", "wanted", "hint"} <= set(found) for found in answer["checks"])
    names = [found["name"] for found in answer["checks"]]
    assert len(names) == len(set(names)) > 30
    assert [n for n in names if not n.startswith("package ")] == [
        "python", "one OpenCV", "from json import loads", "gpu", "free disk", "SD1.5 and ControlNet weights",
    ]  # fmt: skip


def test_what_is_required_makes_unready(quick, monkeypatch):
    weights = Check(doctor.OPTIONAL["weights"], False, "none", "some", required=False)
    monkeypatch.setattr(doctor, "_weights", lambda: weights)
    assert CliRunner().invoke(command, []).exit_code == 0
    for name, line in (("gpu", "FAIL gpu: none"), ("weights", "FAIL SD1.5 and ControlNet weights: none")):
        done = CliRunner().invoke(command, ["--require", name])
        assert done.exit_code == 1 and line in done.stdout and done.stdout.count("FAIL") == 1
    assert CliRunner().invoke(command, ["--require", "luck"]).exit_code == 2


def test_one_failed_check_is_not_ready(quick, monkeypatch):
    monkeypatch.setattr(doctor, "IMPORTS", ("from json import loads", "import no_such_module"))
    as_json = CliRunner().invoke(command, ["--json"])
    assert (as_json.exit_code, json.loads(as_json.stdout)["ready"]) == (1, False)
    as_text = CliRunner().invoke(command, [])
    assert as_text.exit_code == 1
    assert "FAIL import no_such_module: ModuleNotFoundError: No module named 'no_such_module'" in as_text.stdout
    assert "note gpu: none" in as_text.stdout and as_text.stdout.endswith("not ready\n")
