"""`python -m sdaug.soak --out FILE [--only PART ...]`: the long proofs, each in a process of its own."""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from sdaug.measure.environment import provenance
from sdaug.record import write_json
from sdaug.soak.parts import PARTS, run_part

SCHEMA = "sdaug.soak/1"


def soak(names: list[str]) -> dict[str, Any]:
    """The result file's content: what each part found, and of which code, when and where."""
    origin, found = provenance(), {}
    for name in names:
        print(f"{name} ...", flush=True)
        # A process of its own each: what one part leaves behind is no other's.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
            found[name] = alone.submit(run_part, name).result()
        print(f"{name}: {'passed' if found[name]['passed'] else 'FAILED'} in {found[name]['seconds']} s", flush=True)
    return {
        "schema": SCHEMA,
        **origin,
        "passed": all(part["passed"] for part in found.values()),
        "parts": found,
    }


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 where a part failed."""
    parser = argparse.ArgumentParser(prog="python -m sdaug.soak", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where the result goes")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    options = parser.parse_args(arguments)
    result = soak(options.only)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, result)
    print(f"{'passed' if result['passed'] else 'FAILED'}: {options.out}")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
