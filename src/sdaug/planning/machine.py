"""The machine that a plan is for, by name: a device of the data files, or this computer's own processor."""

from sdaug.costmodel.device import Device, load_device
from sdaug.costmodel.parts import Dtype
from sdaug.costmodel.predict import Machine
from sdaug.planning.plan import BUDGET_GB


def machine_named(name: str) -> Machine:
    """`cpu` is this computer, as it was calibrated; everything else a device of the data files, maybe with a power mode
    after a colon. Raises ValueError for one that there is none of, or a computer that was not calibrated."""
    if name == "cpu":
        from sdaug.costmodel.calibration import remembered_calibration

        found = remembered_calibration()
        if found is None:
            raise ValueError("this computer was not calibrated; `sdaug plan --device cpu --calibrate` does it")
        return found
    return load_device(name)


def half_format(machine: Machine) -> Dtype:
    """The smallest format to plan with: a processor has arithmetic for bfloat16 rather than float16, if for either."""
    if isinstance(machine, Device):
        return "float16"
    return "bfloat16" if "bfloat16" in machine.rates else "float32"


def default_budget_gb(machine: Machine) -> float:
    """The mission's 8 GB, or what the machine has once the system has taken its share."""
    reserved = machine.reserved_gb.value if isinstance(machine, Device) else 2.0
    return min(BUDGET_GB, round(machine.memory_gb - reserved, 1))
