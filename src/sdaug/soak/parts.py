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


def service_requests_made_up() -> dict[str, Any]:
    """5 000 requests from the service's OpenAPI description."""
    from sdaug.soak.service_fuzz import fuzz

    return fuzz(5000)


def service_answer_times() -> dict[str, Any]:
    """One client: enrolments with and without variations, the status during a generation."""
    from sdaug.soak.service_load import answer_times

    return answer_times(enrolments=20, statuses=1000)


def service_crowd() -> dict[str, Any]:
    """50 clients for a minute, with limits that they do not meet."""
    from sdaug.soak.service_load import enrol_crowd
    from sdaug.soak.service_server import RAISED

    found = enrol_crowd(50, 60.0, **RAISED)
    return found | {"passed": found["passed"] and not found["told_to_wait"]}


def service_crowd_at_its_limits() -> dict[str, Any]:
    """50 clients for a minute with the default queues and rates: they are told to wait, and lose nothing."""
    from sdaug.soak.service_load import enrol_crowd
    from sdaug.soak.service_server import PATIENT

    found = enrol_crowd(50, 60.0, **PATIENT)
    return found | {"passed": found["passed"] and bool(found["told_to_wait"])}


def service_killed() -> dict[str, Any]:
    """30 kills of the server or a worker."""
    from sdaug.soak.service_kills import kill_at_random_moments

    return kill_at_random_moments(30)


def bundle_bits() -> dict[str, Any]:
    """Bits of every byte of a small bundle flipped, in each of its forms."""
    from sdaug.soak import bundle_bits as bits

    return bits.bundle_bits()


def sweep_killed() -> dict[str, Any]:
    """A sweep killed at random moments and started again."""
    from sdaug.soak.sweep_kills import sweep_kills

    return sweep_kills()


def interval_coverage() -> dict[str, Any]:
    """How often the intervals of `statistics/` hold the truth."""
    from sdaug.soak import coverage

    return coverage.interval_coverage()


def report_size() -> dict[str, Any]:
    """The report of a large sweep, in bytes and seconds."""
    from sdaug.soak import report_size as large

    return large.report_size()


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    part.__name__: part
    for part in (
        endurance,
        out_of_memory_in_a_call,
        out_of_memory_while_loading,
        service_requests_made_up,
        service_answer_times,
        service_crowd,
        service_crowd_at_its_limits,
        service_killed,
        bundle_bits,
        sweep_killed,
        interval_coverage,
        report_size,
    )
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
