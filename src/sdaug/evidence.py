"""What a sweep can claim of people at large: every setting against the baseline, paired, by its raw output."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sdaug import plugins
from sdaug.compare import by_setting, mean_over_people, raw_outcome, raw_similarity, seconds_an_angle
from sdaug.statistics.claims import NoClaim, too_few
from sdaug.statistics.comparison import Comparison, compare
from sdaug.statistics.holm import holm
from sdaug.statistics.kept import Better
from sdaug.statistics.paired import Figure

FIGURES: dict[str, Better] = {"raw similarity": "higher", "raw accepted": "higher", "seconds an angle": "lower"}
QUALITY = ("raw similarity", "raw accepted")
"""What an optimised setting has to keep 99 % of."""

ALIKE = 0.9
"""The mission's: how alike an optimised image and the baseline's should be: more than that."""

MISSION_KEPT = 0.95
"""The mission's: an optimised setting should keep more than this of the baseline's quality; ours is `kept.ENOUGH`."""


@dataclass(frozen=True)
class Evidence:
    """Settings by their keys. comparisons: by figure of `FIGURES`, then by setting, the baseline left out.

    people: how many the baseline has finished cells of. alike: mean similarity of a setting's raw image to the
    baseline's of the same person, seed and angle, by the pack's own recogniser; None where there is no such pair.
    faceless: how many raw images of the baseline that have a face have no such counterpart in a setting.
    """

    baseline: str
    people: int
    comparisons: dict[str, dict[str, Comparison]]
    alike: dict[str, float | None]
    faceless: dict[str, int]

    @property
    def no_claim(self) -> NoClaim | None:
        """Why nothing can be claimed, None if something can."""
        return too_few(self.people)

    def passes(self, key: str) -> bool:
        """Whether a setting surely keeps 99 % of the baseline's quality; the baseline does by definition."""
        if key == self.baseline:
            return True
        return all(self.comparisons[figure][key].kept.verdict == "passes" for figure in QUALITY)


def evidence(results: Sequence[Mapping[str, Any]], baseline: str, cells: Path) -> Evidence:
    """All settings of a sweep against `baseline`. cells: the folder that holds each cell's, with its vectors.

    A cell of a setting that failed has none of its angles accepted, one of the baseline is unmeasured, or else settings
    would be compared with the baseline's bad luck; similarities and times of both are unmeasured. Times are compared
    within one device only.
    """
    settings = by_setting(results)
    own = next((_own_recogniser(result) for result in results if result["status"] == "finished"), None)
    comparisons = {}
    for name, better in FIGURES.items():
        figures = {key: _figure(of, name, own, key == baseline) for key, of in settings.items()}
        others = {key: figure for key, figure in figures.items() if key != baseline}
        comparisons[name] = compare(figures[baseline], others, better)
    finished = {result["person"] for result in settings[baseline] if result["status"] == "finished"}
    alike = {
        key: (None, 0) if own is None or key == baseline else _alike(settings[baseline], of, own, cells)
        for key, of in settings.items()
    }
    return Evidence(
        baseline,
        len(finished),
        _adjusted(comparisons),
        {key: value for key, (value, _) in alike.items()},
        {key: missing for key, (_, missing) in alike.items()},
    )


def _adjusted(comparisons: dict[str, dict[str, Comparison]]) -> dict[str, dict[str, Comparison]]:
    """The p-values adjusted for every setting in every figure that are looked at together."""
    places = [(name, key) for name, of in comparisons.items() for key, one in of.items() if one.p is not None]
    adjusted = holm(np.array([comparisons[name][key].p for name, key in places], float)) if places else ()
    found = {name: dict(of) for name, of in comparisons.items()}
    for (name, key), p in zip(places, adjusted, strict=True):
        found[name][key] = replace(found[name][key], p_holm=float(p))
    return found


def _figure(results: Sequence[Mapping[str, Any]], name: str, own: str | None, is_baseline: bool) -> Figure:
    told = [result for result in results if result["status"] == "finished" or not is_baseline]
    rows = [row for result in told for row in _rows(result, name, own)]
    people, seeds, angles, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Figure(people, seeds, angles, values)


def _rows(result: Mapping[str, Any], name: str, own: str | None) -> Iterator[tuple[str, int, Any, float]]:
    """(person, seed, angle, value) of one cell; NaN is what was not measured."""
    who, seed, backend = result["person"], result["seed"], result["settings"]["backend"]
    if result["status"] != "finished":
        angles = range(result["settings"]["generation"]["num_angles"]) if name == "raw accepted" else ()
        yield from ((who, seed, index, 0.0) for index in angles)
        return
    if name == "seconds an angle":
        # The device is a block: only times of one and the same device are paired.
        yield who, seed, result.get("device"), seconds_an_angle(result)
        return
    for angle in result["record"]["angles"]:
        raw = raw_outcome(angle, backend)
        if name == "raw accepted":
            yield who, seed, angle["index"], float(raw is not None and raw["accepted"])
        else:
            value = None if own is None else raw_similarity(angle, backend, own)
            yield who, seed, angle["index"], math.nan if value is None else value


def _own_recogniser(result: Mapping[str, Any]) -> str:
    return result["record"]["pack"]["recognisers"][0]


def _alike(
    baseline: Sequence[Mapping[str, Any]], setting: Sequence[Mapping[str, Any]], own: str, cells: Path
) -> tuple[float | None, int]:
    """Mean over people of the similarity of images made of the same person, seed and angle; how many of the baseline's
    have no counterpart."""
    before = {(result["person"], result["seed"]): _raw_vectors(result, own, cells) for result in baseline}
    known: list[tuple[str, float]] = []
    similarity = plugins.plugin("sdaug.recognition", own).similarity
    for result in setting:
        others = before.get((result["person"], result["seed"]), {})
        for index, vector in _raw_vectors(result, own, cells).items():
            if index in others:
                known.append((result["person"], similarity(others[index], vector)))
    return mean_over_people(known) if known else None, sum(map(len, before.values())) - len(known)


def _raw_vectors(result: Mapping[str, Any], own: str, cells: Path) -> dict[int, np.ndarray]:
    """Of what the setting itself made, by angle; empty for a cell without."""
    path = cells / result["key"] / "vectors.npz"
    if result["status"] != "finished" or not path.is_file():
        return {}
    stage = "" if result["settings"]["backend"] == "warp" else "raw_"
    with np.load(path) as vectors:
        names = {f"{stage}{angle['index']}_{own}": angle["index"] for angle in result["record"]["angles"]}
        return {index: vectors[name] for name, index in names.items() if name in vectors}
