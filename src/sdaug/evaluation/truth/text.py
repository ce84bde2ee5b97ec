"""The report of `evaluate truth` as a page of text."""

from collections.abc import Iterator, Mapping
from typing import Any

_COLUMNS = {
    "generated": "generated_to_true", "ungated": "ungated_to_true", "input": "input_to_true",
    "mirrored": "mirrored_to_true", "in plane": "in_plane_to_true", "to input": "generated_to_input",
    "(true)": "true_to_input",
}  # fmt: skip


def truth_text(report: Mapping[str, Any]) -> str:
    """Similarities by bin of the pose, then pose errors, then the people, if they were turned."""
    return "\n".join(_lines(report))


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"similarity to the true view, {report['recogniser']}; then to the input, and what the true view scores there"
    yield f"{'':10} {'n':>3} {'refused':>8}" + "".join(f"{title:>10}" for title in _COLUMNS)
    for name, row in report["summary"].items():
        figures = "".join(f"{_figure(row[key]):>10}" for key in _COLUMNS.values())
        yield f"{name:10} {row['n']:3} {row['refused']:8}{figures}"
    for title, key in (("pose error", "pose_error_deg"), ("by the second estimator", "pose_error_second_deg")):
        yield f"{title}: {_spread(report[key])}; of the true views themselves {_spread(report['true_' + key])}"
    people = report.get("people")
    if people is None:
        return
    yield f"{people['n']} people turned to {len(people['angles'])} angles"
    for row in people["angles"]:
        scores = "  ".join(f"{name} {_figure(score)}" for name, score in row["generated_to_input"].items())
        pose = f"yaw {row['yaw_deg']:+3.0f} pitch {row['pitch_deg']:+3.0f}"
        yield f"{pose}: accepted {_figure(row['accepted'])}  to the input {scores}  {_spread(row['pose_error_deg'])}"
    every = people["all"]
    yield f"over all: accepted {_figure(every['accepted'])}, pose error {_spread(every['pose_error_deg'])}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _spread(errors: Mapping[str, float | None]) -> str:
    if errors["median"] is None:
        return "not measured"
    return f"median {errors['median']:.1f} deg, 95 % within {errors['p95']:.1f} deg"
