"""The schedulers that a call may choose, built from the model's own noise schedule."""

import importlib
from typing import Any

from sdaug.config import SchedulerName

SCHEDULERS: dict[SchedulerName, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    # "leading", SD1.5's own spacing, never starts from pure noise, and its last step changes next to nothing.
    "ddim_trailing": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}
"""By name: diffusers' class, and what is set apart from the model's configuration."""


def choose_scheduler(own: Any, name: SchedulerName | None) -> Any:
    """A fresh scheduler of `own`'s configuration: of its own class, or the one called `name`."""
    if name is None:
        return type(own).from_config(own.config)
    diffusers: Any = importlib.import_module("diffusers")  # its lazy names say nothing to a type checker
    class_name, changes = SCHEDULERS[name]
    return getattr(diffusers, class_name).from_config(own.config, **changes)
