"""Installation and the core tests on each of the Pythons asked for that this machine has, each in a .venv of its own.

    python scripts/test_pythons.py 3.10 3.11 3.12 --out experiments/results/pythons.json

Exit 1 when one failed. A Python that is not here is written down as such, and is no failure. What the file says of
other Pythons stays: each says itself of which code and when it is. Left out is what is marked slow.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sdaug.measure.environment import provenance
from sdaug.record import write_json

ROOT = Path(__file__).parents[1]

SUMMARY = re.compile(r"^=+ (.*(?:passed|failed|error).*) =+$", re.MULTILINE)


def interpreter(version: str) -> str | None:
    """Of PATH or of pyenv; only one that runs (pyenv's shims stand for versions that are not active)."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))]
    for candidate in filter(None, candidates):
        command = [candidate, "-c", "import sys; print(sys.version_info[:2])"]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.stdout.strip() == str(tuple(map(int, version.split(".")))):
            return candidate
    return None


def tested(version: str) -> dict[str, Any]:
    """`make test-core` with that Python; its own last line in words."""
    origin = {name: fact for name, fact in provenance().items() if name != "machine"}
    python = interpreter(version)
    if python is None:
        return origin | {"present": False}
    began = time.perf_counter()
    command = ["make", "test-core", f"PYTHON={python}", f"VENV=build/pythons/{version}", "TESTS=-m 'not slow'"]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    summary = SUMMARY.findall(ran.stdout)
    if ran.returncode:
        print(ran.stdout[-8000:], file=sys.stderr)
    return origin | {
        "present": True,
        "passed": ran.returncode == 0 and bool(summary),
        "summary": summary[-1] if summary else None,
        "seconds": round(time.perf_counter() - began),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="+", help="such as 3.10")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    results: dict[str, Any] = json.loads(asked.out.read_text())["pythons"] if asked.out.is_file() else {}
    for version in asked.versions:
        print(f"Python {version} ...", flush=True)
        results[version] = tested(version)
        print(f"Python {version}: {results[version]}", flush=True)
        write_json(asked.out, {"pythons": results})
    sys.exit(any(results[version]["present"] and not results[version]["passed"] for version in asked.versions))


if __name__ == "__main__":
    main()
