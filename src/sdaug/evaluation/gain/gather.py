"""From a folder of faces to the vectors that the gain evaluation compares."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdaug.config import GateSettings, GenerationSettings, ModelSettings
from sdaug.evaluation.gain import arms
from sdaug.evaluation.gain.faceset import Degradation, Person, Progress, degraded, read_people, yaw_bin
from sdaug.evaluation.gain.fusion import VIEW_YAWS, Extra
from sdaug.evaluation.gain.material import Material, Probe, Recogniser
from sdaug.evaluation.gain.report import gain_report
from sdaug.measure.environment import environment
from sdaug.packs import FacePack

log = logging.getLogger("sdaug")


def evaluate_gain(
    folder: Path,
    pack: FacePack,
    *,
    gate: GateSettings | None = None,
    degradation: Degradation | None = None,
    model: ModelSettings | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The whole report of `sdaug evaluate gain`, JSON-able; arguments as for `gather`."""
    gate, degradation = gate or GateSettings(), degradation or Degradation()
    material = gather(
        folder,
        pack,
        gate=gate,
        degradation=degradation,
        model=model,
        limit=limit,
        progress=progress or _quiet,
    )
    settings = {"gate": gate.model_dump(), "probes": degradation.model_dump()}
    return {**gain_report(material), "pack": pack.facts, "settings": settings, "environment": environment()}


def _quiet(what: str, done: int, of: int) -> None:
    pass


def gather(
    folder: Path,
    pack: FacePack,
    *,
    gate: GateSettings | None = None,
    degradation: Degradation | None = None,
    model: ModelSettings | None = None,
    limit: int | None = None,
    progress: Progress = _quiet,
) -> Material:
    """All arms of everyone in `folder`; see `read_people` for what is enrolled and what is a probe.

    model: None = arm `diffusion` is not asked for. limit: the first so many people only. progress: told of photos read
    and then of people turned.
    """
    people = read_people(folder, pack, progress, limit)
    extras: dict[str, Sequence[Sequence[Extra]] | str] = {}
    makers = {"flip": arms.flip, "jitter": arms.jitter, "real_photos": arms.ceiling}
    for name, make in makers.items():
        extras[name] = [make(person, pack) for person in people]
    judge = gate or GateSettings()
    extras["warp"] = _views(people, pack, judge, progress)
    extras["diffusion"] = _diffusion(people, pack, judge, model)
    seen = [_probes(person, pack, degradation or Degradation()) for person in people]
    lost = Counter(name for _, bins in seen for name in bins)
    return Material(
        tuple(Recogniser(r.name, r.similarity, r.metric == "cosine") for r in pack.recognisers),
        tuple(person.subject for person in people),
        [arms.vectors(pack, p.source.photo.pixels, p.source.face) for p in people if p.source.face is not None],
        extras,
        [probes for probes, _ in seen],
        dict(lost),
        2 * len(VIEW_YAWS),
    )


def _views(people: Sequence[Person], pack: FacePack, gate: GateSettings, progress: Progress) -> list[list[Extra]]:
    made = []
    for person in people:
        made.append(arms.views(person, pack, gate))
        progress("people", len(made), len(people))
    return made


def _diffusion(
    people: Sequence[Person], pack: FacePack, gate: GateSettings, model: ModelSettings | None
) -> list[list[Extra]] | str:
    """The arm's views, or why there are none."""
    if model is None:
        return "not asked for"
    from sdaug.diffusion.weights import WeightsError

    try:
        step, close = arms.diffusion(model, GenerationSettings())
    except WeightsError as error:
        log.warning("arm diffusion is left out (%s): %s", error.reason.value, error)
        return f"{error.reason.value}: {error}"
    try:
        return [arms.views(person, pack, gate, step) for person in people]
    finally:
        close()


def _probes(person: Person, pack: FacePack, how: Degradation) -> tuple[list[Probe], list[str]]:
    """The person's probes with a face, and the bins of those without."""
    found, lost = [], []
    for sample in person.probes:
        name = yaw_bin(None if sample.face is None else sample.face.pose)
        seen = degraded(sample, how, pack)
        if seen.face is None:
            lost.append(name)
        else:
            found.append(Probe(arms.vectors(pack, seen.photo.pixels, seen.face), name))
    return found, lost
