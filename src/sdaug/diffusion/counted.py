"""Counted peaks, remembered on disk: counting one takes a second or two and always gives the same."""

import hashlib
import json
import logging
from dataclasses import asdict
from functools import cache
from pathlib import Path

from sdaug import costmodel
from sdaug.costmodel.memory import Peak, Plan, allocated_peak
from sdaug.measure.cache import cache_folder
from sdaug.measure.environment import version
from sdaug.record import write_json

log = logging.getLogger("sdaug.diffusion")


def remembered_peak(plan: Plan) -> Peak:
    """`allocated_peak(plan)`, from `cache_folder()` where the same plan was counted before by the same code under the
    same PyTorch and diffusers. Where the cache cannot be written that is logged, and it is counted each time."""
    asked = {"plan": asdict(plan), "counted_by": _counted_by()}
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]
    note = cache_folder() / "peaks" / f"{name}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["asked"] == asked:
            return Peak(known["phases"], known["weights"])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: counted anew and written over
        pass
    peak = allocated_peak(plan)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, {"asked": asked, "phases": peak.phases, "weights": peak.weights})
    except OSError as error:
        log.warning("a counted peak cannot be remembered: %s", error)
    return peak


@cache
def _counted_by() -> dict[str, str | None]:
    digest = hashlib.sha256()
    for path in sorted(Path(path) for folder in costmodel.__path__ for path in Path(folder).glob("*.py")):
        digest.update(path.read_bytes())
    return {"costmodel": digest.hexdigest(), "torch": version("torch"), "diffusers": version("diffusers")}
