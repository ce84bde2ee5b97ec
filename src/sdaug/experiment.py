"""Experiment files: validated whole before anything starts, and expanded into settings with stable keys."""

import copy
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from sdaug import plugins
from sdaug.cells import Cell, Person, cells_of, weights_digest
from sdaug.config import Config, ModelSettings, RunSettings, nearest
from sdaug.face.photo import read_photo
from sdaug.packs import PackError, check_pack
from sdaug.photos import photo_path, photos_in
from sdaug.types import PhotoError


class ExperimentError(ValueError):
    """An experiment file that cannot be run as it stands; the message lists every fault with its place."""


class Experiment(Config):
    """What an experiment file may say.

    photo: of the one person; people: a folder with a photo of each, or name -> photo. seeds: every setting runs with
    each of them; none are given: with its own. base: settings all cells share (see RunSettings). grid: dotted setting
    -> values; their Cartesian product. also: further settings outside the grid, each laid over `base`. baseline: dotted
    settings of the one that others are compared with; none are given: the first. budget_gb: what the chosen setting's
    peak may be, in GB of 10^9 bytes, allocated on the GPU, or resident where there is none. subject: whom the chosen
    setting is to enrol. repeats: timed calls after the first. log_images: whether faces, names and vectors may go to
    MLflow and into executed notebooks.
    """

    experiment: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    question: str = ""
    notebook: str = "notebooks/sweep.ipynb"
    photo: str | None = None
    people: str | dict[str, str] | None = None
    seeds: list[int] = []
    subject: str = "subject"
    repeats: int = Field(default=2, ge=0)
    log_images: bool = False
    base: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    also: list[dict[str, Any]] = []
    baseline: dict[str, Any] = {}
    budget_gb: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _of_somebody(self) -> "Experiment":
        if (self.photo is None) == (self.people is None):
            raise ValueError("expected either 'photo' or 'people', and not both")
        return self

    @model_validator(mode="after")
    def _seeds_in_one_place(self) -> "Experiment":
        varied = ["grid"] if "generation.seed" in self.grid else []
        varied += ["also"] if any("generation.seed" in dict(_flat(extra)) for extra in self.also) else []
        if self.seeds and varied:
            raise ValueError(f"'seeds' are given and {varied[0]!r} varies 'generation.seed'; expected one of the two")
        return self


def read_experiment(path: str | Path) -> Experiment:
    """The experiment in a YAML file, its own keys validated. Raises ExperimentError or FileNotFoundError."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ExperimentError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ExperimentError(f"{path} holds {type(content).__name__}; expected a mapping with the key 'experiment'")
    try:
        return Experiment(**content)
    except (ValidationError, TypeError) as error:
        faults = _faults(error, Experiment) if isinstance(error, ValidationError) else [str(error)]
        raise ExperimentError(f"{path}: " + "; ".join(faults)) from error


def load_experiment(path: str | Path) -> tuple[Experiment, list[Cell]]:
    """The experiment in a YAML file and all its cells, validated. Raises ExperimentError or FileNotFoundError."""
    experiment = read_experiment(path)
    if not Path(experiment.notebook).is_file():
        raise ExperimentError(f"{path}: notebook {experiment.notebook!r} does not exist")
    try:
        cells = expand(experiment, read_people(experiment))
    except ExperimentError as error:
        raise ExperimentError(f"{path}: {error}") from error
    return experiment, cells


def read_people(experiment: Experiment) -> list[Person]:
    """Everybody an experiment turns; raises ExperimentError listing every photo that cannot be read."""
    if experiment.photo is not None:
        asked, place = {Path(experiment.photo).stem: experiment.photo}, "photo"
    elif isinstance(experiment.people, dict):
        asked, place = experiment.people, "people"
    else:
        try:
            asked = {path.stem: str(path) for path in photos_in(str(experiment.people))}
        except FileNotFoundError as error:
            raise ExperimentError(f"people: {error}") from error
        place = "people"
    people, faults = [], []
    for name, photo in asked.items():
        try:
            path = photo_path(photo).resolve()
            people.append(Person(name, str(path), read_photo(path).sha256))
        except (FileNotFoundError, PhotoError) as error:
            faults.append(f"{place}: {error}")
    if not asked:
        faults.append("people: nobody is named")
    if faults:
        raise ExperimentError("; ".join(faults))
    return people


def expand(
    experiment: Experiment, people: Sequence[Person], weights: Callable[[ModelSettings], str] = weights_digest
) -> list[Cell]:
    """All cells of an experiment, duplicates dropped; raises ExperimentError listing every invalid setting.

    weights: the digest of a model's weights, an error of which is a fault of the setting that wants it.
    """
    cells: dict[str, Cell] = {}
    faults: list[str] = []
    known: dict[str, str] = {}
    plugin_fault = functools.cache(_plugin_fault)
    for varied in _points(experiment):
        settings = _validated(experiment.base, varied, faults, plugin_fault)
        if settings is None:
            continue
        digest = _weights(settings, weights, known, faults)
        for cell in cells_of(settings, varied, people, experiment.seeds, digest):
            cells.setdefault(cell.key, cell)
    if not faults:
        faults += _baseline_faults(experiment, list(cells.values()))
    if faults:
        raise ExperimentError("; ".join(dict.fromkeys(faults)))
    return list(cells.values())


def baseline_key(experiment: Experiment, cells: Sequence[Cell]) -> str:
    """The key of the setting that the others are compared with."""
    return _baseline_keys(experiment, cells)[0]


def _baseline_keys(experiment: Experiment, cells: Sequence[Cell]) -> list[str]:
    return list(
        dict.fromkeys(
            cell.setting_key
            for cell in cells
            if all(name in cell.varied and cell.varied[name] == value for name, value in experiment.baseline.items())
        )
    )


def _baseline_faults(experiment: Experiment, cells: Sequence[Cell]) -> list[str]:
    found = _baseline_keys(experiment, cells)
    if not experiment.baseline or len(found) == 1:
        return []
    varied = sorted({name for cell in cells for name in cell.varied})
    unknown = [name for name in experiment.baseline if name not in varied]
    if unknown:
        return [f"baseline: {unknown[0]!r} is not varied; {nearest(unknown[0], varied)}"]
    return [f"baseline: {experiment.baseline} is {len(found)} of the settings; expected exactly one"]


def _weights(
    settings: RunSettings, weights: Callable[[ModelSettings], str], known: dict[str, str], faults: list[str]
) -> str:
    """The digest of what `settings` would load, "" for a warp; remembered in `known`."""
    from sdaug.diffusion.components import WeightsError

    if settings.backend == "warp":
        return ""
    model = settings.model.model_dump_json()
    if model not in known:
        try:
            known[model] = weights(settings.model)
        except WeightsError as error:
            faults.append(f"model.model_id is {settings.model.model_id!r}: {error}")
            known[model] = ""
    return known[model]


def _points(experiment: Experiment) -> Iterator[dict[str, Any]]:
    empty = [name for name, values in experiment.grid.items() if not values]
    if empty:
        raise ExperimentError("; ".join(f"grid axis {name!r} has no values" for name in empty))
    for values in itertools.product(*experiment.grid.values()):
        yield dict(zip(experiment.grid, values, strict=True))
    for extra in experiment.also:
        yield dict(_flat(extra))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value and prefix.count(".") < 1:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _validated(
    base: Mapping[str, Any], varied: Mapping[str, Any], faults: list[str], plugin_fault: Callable[[str, str, str], str]
) -> RunSettings | None:
    """The settings of one cell, or None with every fault appended to `faults`."""
    known = len(faults)
    tree = copy.deepcopy(dict(base))
    for dotted, value in varied.items():
        _put(tree, dotted, value, faults)
    faults.extend(_plugin_faults(tree, plugin_fault))
    try:
        settings = RunSettings(**tree)
    except ValidationError as error:
        faults.extend(_faults(error, RunSettings))
        return None
    try:
        check_pack(settings.pack)
    except PackError as error:
        faults.append(str(error))
    return settings if len(faults) == known else None


def _plugin_faults(tree: Mapping[str, Any], plugin_fault: Callable[[str, str, str], str]) -> list[str]:
    """Unknown levers, quality measures and recognisers, and unknown options of known ones."""
    faults = []
    gate = tree.get("gate")
    gate = gate if isinstance(gate, dict) else {}
    quality = [("sdaug.quality", gate.get(group)) for group in ("measures", "reported")]
    for package, chosen in (("sdaug.levers", tree.get("levers")), *quality):
        for name, options in chosen.items() if isinstance(chosen, dict) else ():
            if fault := plugin_fault(package, name, json.dumps(options, default=str)):
                faults.append(fault)
    similar = gate.get("min_similarity")
    known = plugins.names("sdaug.recognition")
    unknown = [name for name in similar if name not in known] if isinstance(similar, dict) else []
    return faults + [f"unknown recogniser {name!r}; {nearest(str(name), known)}" for name in unknown]


def _plugin_fault(package: str, name: str, options: str) -> str:
    """What is wrong with a plug-in's name or options (JSON), "" for nothing."""
    try:
        plugins.load(package, name, json.loads(options))
    except (plugins.PluginError, TypeError) as error:
        return str(error)
    return ""


def _put(tree: dict[str, Any], dotted: str, value: Any, faults: list[str]) -> None:
    """Sets `a.b.c` in nested dictionaries; a lever set to null is taken out."""
    *parents, last = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            faults.append(f"setting {parent!r} is {tree!r}; expected a mapping, since {dotted!r} is varied")
            return
    if value is None and parents == ["levers"]:
        tree.pop(last, None)
    else:
        tree[last] = value


def _faults(error: ValidationError, model: type[Config]) -> list[str]:
    """Each pydantic fault in our words: the place, the value, what is known there."""
    faults = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            faults.append(
                f"unknown setting {place!r}; {nearest(str(fault['loc'][-1]), _known(model, fault['loc'][:-1]))}"
            )
        elif fault["type"] == "missing":
            faults.append(f"setting {place!r} is missing")
        elif not place:
            faults.append(fault["msg"].removeprefix("Value error, "))
        else:
            faults.append(f"setting {place!r} is {fault['input']!r}: {fault['msg']}")
    return faults


def _known(model: type[Config], place: tuple[Any, ...]) -> list[str]:
    for part in place:
        inner = model.model_fields[part].annotation
        if isinstance(inner, type) and issubclass(inner, Config):
            model = inner
    return list(model.model_fields)
