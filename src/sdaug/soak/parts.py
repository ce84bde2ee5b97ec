"""The parts of the soak, each with what it found."""

import gc
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

ROUNDS = 60
"""Of which 50 are counted."""


def endurance() -> dict[str, Any]:
    """Load, generate, clean up: resident memory must not grow."""
    from sdaug.soak.endurance import endure, load_generate_cleanup

    return endure(load_generate_cleanup(), ROUNDS).facts()


def out_of_memory_in_a_call() -> dict[str, Any]:
    """Every stage, chunk, depth and wording of running out of memory while angles are made."""
    from sdaug.soak.call_faults import all_faults, problems_of

    return _cases(list(all_faults()), problems_of)


def out_of_memory_while_loading() -> dict[str, Any]:
    """Every stage, depth, wording and strictness of running out of memory while a generator is loaded."""
    from sdaug.soak.load_faults import all_load_faults, load_problems_of

    return _cases(list(all_load_faults()), load_problems_of)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    part.__name__: part for part in (endurance, out_of_memory_in_a_call, out_of_memory_while_loading)
}


def run_part(name: str) -> dict[str, Any]:
    """One part, with the seconds it took."""
    logging.getLogger("sdaug").setLevel(logging.ERROR)
    started = time.perf_counter()
    return PARTS[name]() | {"seconds": round(time.perf_counter() - started, 1)}


def _cases(cases: Iterable[Any], problems_of: Callable[[Any], list[str]]) -> dict[str, Any]:
    from sdaug.soak.call_faults import alone

    alone(())  # loads what is loaded at first use, so that no case has to look through it for tensors
    gc.collect()
    gc.freeze()
    wrong, count = {}, 0
    for case in tqdm(cases, unit="case", disable=None):
        count += 1
        if problems := problems_of(case):
            wrong[repr(case)] = problems
    gc.unfreeze()
    return {"passed": not wrong, "cases": count, "failed": len(wrong), "problems": wrong}
