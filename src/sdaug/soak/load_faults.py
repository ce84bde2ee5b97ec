"""Memory that runs out while a generator is loaded: less is asked for, or there is a reason, and nothing stays."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args
from unittest.mock import patch

from sdaug.config import RunSettings
from sdaug.diffusion import load
from sdaug.diffusion.obtain import Obtained, obtain
from sdaug.soak.call_faults import SETTINGS, jobs
from sdaug.soak.faults import KINDS, Kind, error_of, live_bytes
from sdaug.types import Reason

LoadStage = Literal["reading", "adapters", "levers", "placing", "prompts"]

STAGES: dict[LoadStage, str] = {
    "reading": "load_components",
    "adapters": "load_adapters",
    "levers": "install",
    "placing": "place",
    "prompts": "encoded_prompts",
}
LoadUntil = Literal["once", "always"]


@dataclass(frozen=True)
class LoadFault:
    """Memory runs out once this stage is through: the first time only, or always."""

    stage: LoadStage
    until: LoadUntil = "once"
    kind: Kind = "cuda"
    strict: bool = False


def all_load_faults() -> Iterator[LoadFault]:
    """Every stage, depth, wording and strictness."""
    for stage, until, kind, strict in product(STAGES, get_args(LoadUntil), KINDS, (False, True)):
        yield LoadFault(stage, until, kind, strict)


def load_problems_of(fault: LoadFault) -> list[str]:
    """What goes wrong under `fault`, nothing if all is well."""
    gc.collect()
    at_start = live_bytes()
    found, error = _obtained(fault)
    problems = list(_problems(fault, found, error))
    if found is not None:
        found.close()
    found = None
    gc.collect()
    if live_bytes() > at_start:  # `error` is still held, as a caller holds it who reports it
        problems.append(f"{live_bytes() - at_start} bytes more than at the start")
    return problems


def _obtained(fault: LoadFault) -> tuple[Obtained | None, Exception | None]:
    real, raised = getattr(load, STAGES[fault.stage]), 0

    def fails(*arguments: Any) -> Any:
        nonlocal raised
        answer = real(*arguments)
        if fault.until == "always" or not raised:
            raised += 1
            raise error_of(fault.kind)
        return answer

    asked = {"model": {"model_id": "random", "device": "cpu"}, "strict": fault.strict}
    with patch.object(load, STAGES[fault.stage], fails):
        try:
            return obtain(RunSettings.model_validate(asked)), None
        except Exception as error:
            return None, error


def _problems(fault: LoadFault, found: Obtained | None, error: Exception | None) -> Iterator[str]:
    if fault.strict:
        if type(error) is not type(error_of(fault.kind)):
            yield f"strict, and {error!r} was raised"
    elif found is None:
        yield f"{error!r} was raised"
    elif fault.until == "always":
        if (found.generator, found.unavailable) != (None, (Reason.OUT_OF_MEMORY,)):
            yield f"memory never sufficed, and there is {found}"
    elif found.generator is None:
        yield "less would have done, and there is no generator"
    else:
        if found.generator.facts["resource_steps"] != ["fp8_storage"]:
            yield f"given up: {found.generator.facts['resource_steps']}"
        results = list(found.generator.generate(jobs(), SETTINGS))
        if any(result.image is None for result in results):
            yield "the generator makes no pictures"
