"""Does the gate keep what is right and refuse what is wrong? Both rates with the same thresholds, in one table."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.config import GateSettings
from sdaug.evaluation.gate.material import BLUR_SIGMA_PX, Person, noise_images, read_people
from sdaug.evaluation.gate.proportions import wilson_interval
from sdaug.gate import Gate, largest_angle
from sdaug.packs import FacePack
from sdaug.record import plain
from sdaug.types import ANGLES, AngleResult, Judgement, Pose

SCHEMA = "sdaug.gate_rates/1"
ENOUGH = 9
"""Angles of the ten that a person's views must have accepted."""

HALF_TURNED = tuple(
    (ANGLES.index(Pose(*made)), Pose(*offered))
    for made, offered in (((22, 0), (45, 0)), ((-22, 0), (-45, 0)), ((0, -15), (0, -30)), ((0, 15), (0, 30)))
)
"""(index of the angle a view is made for, the angle it is offered at): turned, but half as far as was asked for."""

Judged = dict[str, list[Judgement]]
"""Judgements by class of images."""


def share(hits: int, n: int) -> dict[str, float | int | None]:
    """A proportion with its Wilson 95 % interval, trials taken for independent; null where there was no trial."""
    low, high = wilson_interval(hits, n) if n else (None, None)
    return {"n": n, "rate": hits / n if n else None, "low": low, "high": high}


def judge_own(person: Person, gate: Gate) -> list[Judgement]:
    """A person's ten views in turn, as `augment` does it: each accepted one may not be copied by a later one."""
    judgements = []
    for index, (pose, sight) in enumerate(zip(ANGLES, person.views, strict=True)):
        judgements.append(gate.decide(sight, pose))
        kept = np.empty(0) if judgements[-1].accepted else None
        gate = gate.including(AngleResult(index, pose, kept, "warp", judgements[-1], 0.0))
    return judgements


def judge_wrong(people: Sequence[Person], index: int, gates: Sequence[Gate]) -> Judged:
    """What person `index` must refuse. `gates`: theirs, one per other person, that person not in its cohort."""
    person = people[index]
    turned = [pose for pose in ANGLES if largest_angle(pose) >= 15]
    wrong = []
    for number, pose in enumerate(ANGLES):
        other = (index + 1 + number) % len(people)
        other = (other + 1) % len(people) if other == index else other
        wrong.append(gates[other].decide(people[other].views[number], pose))
    own = gates[index]
    return {
        "wrong_person": wrong,
        "unturned_copy": [own.decide(sight, pose) for pose in turned for sight in person.copies],
        "half_turned": [own.decide(person.views[made], offered) for made, offered in HALF_TURNED],
        "blurred": [own.decide(sight, ANGLES[number]) for number, sight in person.blurred.items()],
    }


def gates_of(people: Sequence[Person], index: int, with_cohort: bool) -> list[Gate]:
    """Person `index`'s gate once per person: with everyone else but that person as its cohort, or without a cohort."""
    gate = people[index].gate
    if not with_cohort:
        return [gate] * len(people)
    own = gate.pack.recognisers[0].name
    vectors = [person.gate.reference[own] for person in people]
    return [
        replace(gate, cohort={own: np.stack([v for i, v in enumerate(vectors) if i not in (index, left_out)])})
        for left_out in range(len(people))
    ]


def table(people: Sequence[Person], noise: Sequence[Any], with_cohort: bool) -> dict[str, Any]:
    """Every rate of one group of people (at least 3). noise: sights of images of nobody."""
    own: list[list[Judgement]] = []
    own_gates: list[Gate] = []
    classes = ("wrong_person", "unturned_copy", "half_turned", "blurred", "noise")
    refused: dict[str, list[Judgement]] = {name: [] for name in classes}
    for index, person in enumerate(people):
        gates = gates_of(people, index, with_cohort)
        own_gates.append(gates[index])
        own.append(judge_own(person, gates[index]))
        for name, judgements in judge_wrong(people, index, gates).items():
            refused[name] += judgements
    for index, sight in enumerate(noise):
        refused["noise"].append(own_gates[index % len(people)].decide(sight, ANGLES[index % len(ANGLES)]))
    kept = [sum(j.accepted for j in judgements) for judgements in own]
    mission = [sum(j.by_rule["mission"] == () for j in judgements) for judgements in own]
    views = [j for judgements in own for j in judgements]
    return {
        "people": len(people),
        "people_with_9_of_10": share(sum(k >= ENOUGH for k in kept), len(kept)),
        "people_with_9_of_10_by_mission_rule": share(sum(k >= ENOUGH for k in mission), len(mission)),
        "accepted": {"own_views": _class(views, lambda reasons: not reasons)},
        "refused": {name: _class(judgements, bool) for name, judgements in refused.items()},
        "accepted_by_angle": {
            f"{pose.yaw_deg:+g},{pose.pitch_deg:+g}": _class([j[n] for j in own], lambda reasons: not reasons)
            for n, pose in enumerate(ANGLES)
        },
    }


def _class(judgements: Iterable[Judgement], hit: Callable[[tuple[Any, ...]], bool]) -> dict[str, Any]:
    """Share of `hit` by the rule that decides and by the mission's, and how often each reason was given."""
    found = list(judgements)
    reasons = Counter(reason.value for judgement in found for reason in judgement.reasons)
    return {
        **share(sum(hit(j.reasons) for j in found), len(found)),
        "mission_rule": share(sum(hit(j.by_rule["mission"]) for j in found), len(found)),
        "reasons": dict(reasons.most_common()),
    }


def odd_and_even(people: Iterable[Person]) -> Mapping[str, list[Person]]:
    """Thresholds were chosen on people of odd number, rates are reported on the others."""
    groups: dict[str, list[Person]] = {"chosen_on": [], "reported": []}
    for person in people:
        groups["chosen_on" if int(person.name) % 2 else "reported"].append(person)
    return groups


def evaluate_gate(
    folder: Path, pack: FacePack, settings: GateSettings, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """The whole report of `sdaug evaluate gate`, JSON-able. folder: of `NNN_neutral.jpg`. progress: told each name."""
    people = []
    for person in read_people(folder, pack, settings):
        people.append(person)
        if progress is not None:
            progress(person.name)
    groups = odd_and_even(people)
    if small := [name for name, group in groups.items() if len(group) < 3]:
        raise ValueError(f"fewer than 3 people in {', '.join(small)}; expected odd and even numbers of people")
    noise = [people[0].gate.look(image) for image in noise_images(6 * len(ANGLES))]
    own = pack.recognisers[0]
    return {
        "schema": SCHEMA,
        "pack": pack.facts,
        "recogniser": own.name,
        "recogniser_sha256": own.sha256,
        "settings": plain(settings.model_dump(mode="json")),
        "band": None if people[0].gate.band is None else plain(people[0].gate.band),
        "blur_sigma_px": BLUR_SIGMA_PX,
        **{
            name: {
                "without_cohort": table(group, noise, with_cohort=False),
                "with_cohort": table(group, noise, with_cohort=True),
            }
            for name, group in groups.items()
        },
    }
