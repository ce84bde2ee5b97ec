"""Where a call's time goes: seconds by stage, setting by setting."""

from typing import Any

import numpy as np

from sdaug.compare import by_setting
from sdaug.results import Sweep


def by_stage(sweep: Sweep) -> dict[str, Any] | None:
    """{stages: names in the order they first run, rows: [{key, figures}]}: of each setting the seconds of each stage in
    a cell's first call, the median over cells; None where the setting has no such stage. None where no cell tells."""
    told = [result for result in sweep.results if result["status"] == "finished" and result["record"].get("stages")]
    stages = list(dict.fromkeys(name for result in told for name in result["record"]["stages"]))
    if not stages:
        return None
    rows = []
    for key, cells in by_setting(told).items():
        spent = [{name: of["total_s"] for name, of in cell["record"]["stages"].items()} for cell in cells]
        known = {name: [of[name] for of in spent if name in of] for name in stages}
        rows.append(
            {"key": key, "figures": [float(np.median(known[name])) if known[name] else None for name in stages]}
        )
    return {"stages": stages, "rows": rows}
