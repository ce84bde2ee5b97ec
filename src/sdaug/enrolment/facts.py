"""What a manifest says of the parts that took part: recogniser, detector, decision policy, tool, evaluation."""

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from sdaug.bands import band_file
from sdaug.config import GateSettings
from sdaug.enrolment.layout import canonical_json, digest
from sdaug.measure.environment import commit
from sdaug.packs import INSIGHTFACE_PACKS, FacePack
from sdaug.record import acceptance, plain
from sdaug.types import Augmentation

RULES = {
    "sdaug": "every measure, the pose, the own recogniser's band and floor, closer than any cohort member, no copy",
    "mission": "confidence > 0.7, blur < 0.3, brightness 50 to 200, at least 512 px, similarity to the input > 0.8",
}
"""The acceptance rules in words."""

POSE_METHOD = "landmarks; from 48 degrees of yaw on the detector's five points, where it finds them by itself"

LICENCES = {"embedded": "public domain (CC0-1.0)"} | dict.fromkeys(INSIGHTFACE_PACKS, "non-commercial research only")
"""Of a pack's own recogniser, as docs/licences.md has it; of a folder nobody said."""


def recogniser_facts(pack: FacePack) -> dict[str, Any]:
    """Whose vectors the bundle holds, and all that another program must do alike to compare with them."""
    own = pack.recognisers[0]
    return {
        "name": own.name,
        "sha256": own.sha256,
        "dim": own.dim,
        "metric": own.metric,
        "normalised": own.metric == "cosine",
        "pack": pack.name,
        "licence": LICENCES.get(pack.name, "not stated"),
        "preprocessing": own.preprocessing,
    }


def detector_facts(pack: FacePack) -> dict[str, Any]:
    """What found the face, where its files are known by digest, and how poses were read."""
    return {
        "name": pack.facts["detector"],
        "files": pack.facts["files"],
        "pose_method": POSE_METHOD,
        **pack.facts.get("detection", {}),
    }


def tool_facts() -> dict[str, Any]:
    """This program, and the commit of its checkout (None outside of one)."""
    return {"name": "sdaug", "version": version("sdaug"), "commit": commit()}


def policy_facts(
    gate: GateSettings, pack: FacePack, cohort: dict[str, Any] | None, not_evaluated: Iterable[str]
) -> dict[str, Any]:
    """By which rules and thresholds it was decided, and on what these were calibrated.

    cohort: as `sdaug.cohort.without_subject` tells it; not_evaluated: the checks that could not be made, as often as
    they could not.
    """
    return {
        "gate": plain(gate.model_dump()),
        "rule": RULES[gate.rule],
        "calibration": calibration_facts(pack),
        "cohort": cohort,
        "not_evaluated": sorted(set(not_evaluated)),
    }


def acceptance_facts(records: Sequence[Augmentation]) -> dict[str, Any]:
    """What each rule accepted of all records together."""
    counts = [acceptance(record) for record in records]
    return {name: sum(count[name] for count in counts) for name in counts[0]}


def calibration_facts(pack: FacePack) -> dict[str, Any] | None:
    """The band that the own recogniser is held to: its digest, its floor and the false match rate of that, and what it
    was measured on. None where nobody measured one."""
    content = band_file(pack.recognisers[0].sha256)
    if content is None:
        return None
    origin = content["provenance"]
    return {
        "band_sha256": digest(canonical_json(content)),
        "floor": content["floor"],
        "floor_fmr": origin["floor_fmr"],
        "same_person": content["same_person"],
        "near_duplicate": content["near_duplicate"],
        "date": origin["date"],
        "commit": origin["commit"],
        "sets": sorted(origin["sets"]),
    }


def evaluation_facts(data: bytes, recogniser: str) -> dict[str, Any]:
    """The gist of a report of `sdaug evaluate gain --json`: error rates with and without views at equal FMR.

    ValueError if it is no such report, or is of another recogniser than the bundle's.
    """
    try:
        report = json.loads(data)
        named = report["by_recogniser"]
        if recogniser not in named:
            raise ValueError(f"the evaluation is of {', '.join(named)}, the bundle's recogniser is {recogniser}")
        own = named[recogniser]
        arms = {
            name: {"fnmr_at_fmr_1e-2": arm["fnmr_at_fmr_1e-2"], "ci95": arm.get("ci95")}
            for name, arm in own["arms"].items()
            if arm.get("fnmr_at_fmr_1e-2") is not None
        }
        return {
            "schema": report["schema"],
            "recogniser": recogniser,
            "subjects": report["subjects"],
            "fmr": 0.01,
            "arms": arms,
            "verdict": own["verdict"],
            "report_sha256": digest(data),
        }
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a report of `sdaug evaluate gain --json`: {error!r}") from error
