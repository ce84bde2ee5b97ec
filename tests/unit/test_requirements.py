"""The pins: every named package in every file, one mediapipe and OpenCV, requirements-genai.txt agrees."""

import importlib.util
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.10", "3.11", "3.12")
NAMED = (
    "jupyterlab papermill diffusers transformers accelerate controlnet-aux torch insightface opencv-python "
    "scikit-learn matplotlib pandas mlflow pytest nbval"
).split()
SAME_EVERYWHERE = {
    "numpy": "1.26.4",
    "mediapipe": "0.10.21",
    "opencv-python": "4.11.0.86",
    "opencv-python-headless": "4.11.0.86",
    "opencv-contrib-python": "4.11.0.86",
}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("requirements_genai", ROOT / "scripts" / "requirements_genai.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def constraints(python: str) -> str:
    return (ROOT / "constraints" / f"py{python.replace('.', '')}.txt").read_text(encoding="utf-8")


def requirement_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_there_is_one_constraints_file_for_each_supported_python():
    files = {path.name for path in (ROOT / "constraints").glob("py*.txt")}
    assert files == {f"py{python.replace('.', '')}.txt" for python in PYTHONS}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert set(re.findall(r"Python :: (3\.\d+)", project)) == set(PYTHONS)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_line_is_an_exact_pin(python):
    lines = requirement_lines(constraints(python))
    assert len(lines) > 200
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9.-]+==[0-9][A-Za-z0-9.]*", line)] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_named_packages_are_pinned(python, script):
    pinned = script.pins(constraints(python))
    assert [name for name in (*NAMED, *script.PACKAGES) if name not in pinned] == []
    assert {name: pinned[name] for name in SAME_EVERYWHERE} == SAME_EVERYWHERE


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_hold_what_must_not_float(python):
    """Each line of pins.txt that is meant for this Python is in its constraints file as it stands."""
    resolved = set(requirement_lines(constraints(python)))
    wanted = [Requirement(line) for line in requirement_lines((ROOT / "constraints" / "pins.txt").read_text("utf-8"))]
    here = [r for r in wanted if r.marker is None or r.marker.evaluate({"python_version": python})]
    assert len(here) >= 10
    assert [str(r) for r in here if f"{r.name}{r.specifier}" not in resolved] == []


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="not the environment that `make install` makes")
def test_pins_are_what_runs_here():
    pinned = dict(line.split("==") for line in requirement_lines(constraints(f"3.{sys.version_info[1]}")))
    found = {name: version(name) for name in (*NAMED, *SAME_EVERYWHERE)}
    assert found == {name: pinned[name] for name in found}


def test_requirements_genai_agrees_with_the_constraints(script):
    text = (ROOT / "requirements-genai.txt").read_text(encoding="utf-8")
    assert text == script.requirements(constraints("3.11"))
    lines = requirement_lines(text)
    assert [line.split("==")[0] for line in lines] == [
        "diffusers",
        "transformers",
        "accelerate",
        "safetensors",
        "controlnet-aux",
        "opencv-python",
        "einops",
    ]
    assert set(lines) <= set(requirement_lines(constraints("3.11")))
    assert "# omegaconf" in text and "# xformers" in text and "aarch64" in text


def test_check_sees_a_difference(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "REQUIREMENTS", tmp_path / "requirements-genai.txt")
    assert script.main(["--check"]) == 1
    assert "requirements-genai.txt does not agree" in capsys.readouterr().err
    assert script.main([]) == 0
    assert script.main(["--check"]) == 0
    script.REQUIREMENTS.write_text(script.REQUIREMENTS.read_text() + "einops==0.1\n")
    assert script.main(["--check"]) == 1


def test_a_package_without_a_pin_is_named(script):
    with pytest.raises(KeyError, match="transformers"):
        script.requirements("diffusers==0.42.1\n")
