"""`python -m sdaug.soak --out FILE [--only PART ...]`: the long proofs, each in a process of its own.

What FILE says of other parts stays: each says itself of which code, when and where it is.
"""

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from sdaug.measure.environment import provenance
from sdaug.record import write_json
from sdaug.soak.parts import PARTS, run_part

SCHEMA = "sdaug.soak/2"


def soak(name: str) -> dict[str, Any]:
    """What one part found, and of which code, when and where."""
    origin = provenance()
    print(f"{name} ...", flush=True)
    # A process of its own each: what one part leaves behind is no other's.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        found = alone.submit(run_part, name).result()
    print(f"{name}: {'passed' if found['passed'] else 'FAILED'} in {found['seconds']} s", flush=True)
    return found | origin


def report(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The result file's content. `passed` is of every proof there is: one that was never made has not."""
    missing = [name for name in PARTS if name not in parts]
    passed = not missing and all(part["passed"] for part in parts.values())
    return {"schema": SCHEMA, "passed": passed, "never_made": missing, "parts": parts}


def _known(path: Path) -> dict[str, dict[str, Any]]:
    """The parts in an earlier result of this form, less those that there are no more."""
    if not path.is_file():
        return {}
    earlier = json.loads(path.read_text(encoding="utf-8"))
    parts = earlier["parts"] if earlier.get("schema") == SCHEMA else {}
    return {name: part for name, part in parts.items() if name in PARTS}


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 where a part failed."""
    parser = argparse.ArgumentParser(prog="python -m sdaug.soak", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where the result goes")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    made = {}
    for name in options.only:
        made[name] = soak(name)
        # Read anew each time: another soak may be at other parts.
        write_json(options.out, report(_known(options.out) | {name: made[name]}))
    passed = all(part["passed"] for part in made.values())
    print(f"{'passed' if passed else 'FAILED'}: {options.out}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
