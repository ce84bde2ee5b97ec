"""`import sdaug` is light, imports point down the layers, and no file names a folder of one machine."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch torchvision diffusers transformers accelerate peft controlnet_aux mediapipe jax insightface onnxruntime "
    "dlib mlflow papermill nbconvert sklearn matplotlib pandas"
).split()
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|tmp|root|home|Users|opt/wheels)/\w")
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".ipynb", ".html", ".js", ".css", ".sh", ""}


def test_import_is_light():
    code = "import json, sys; import sdaug; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "sdaug" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_imports_point_down_the_layers():
    """The contracts are in pyproject.toml; what the command prints says which import breaks which."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", done.stdout), done.stdout


def tracked_files() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git checkout: which files belong to the project is not known")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_folder_of_this_machine():
    texts = [path for path in tracked_files() if path.suffix in TEXT]
    assert ROOT / "pyproject.toml" in texts and Path(__file__).resolve() in texts
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("root", ["work", "tmp", "root", "home", "Users"])
def test_a_machine_path_is_recognised(root):
    assert MACHINE_PATH.search(f'open("/{root}/somebody/photo.png")')
    assert not MACHINE_PATH.search(f"build/{root}/photo.png and https://example.org/{root}.html")
