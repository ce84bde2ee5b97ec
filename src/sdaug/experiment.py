"""Experiment files: validated whole before anything starts, and expanded into settings with stable keys."""

import copy
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from sdaug import plugins
from sdaug.config import Config, GenerationSettings, RunSettings, nearest
from sdaug.face.photo import read_photo
from sdaug.packs import PackError, check_pack
from sdaug.photos import photo_path
from sdaug.types import PhotoError


class ExperimentError(ValueError):
    """An experiment file that cannot be run as it stands; the message lists every fault with its place."""


class Experiment(Config):
    """What an experiment file may say.

    base: settings all cells share (see RunSettings). grid: dotted setting -> values; their Cartesian product. also:
    further settings outside the grid, each laid over `base`. repeats: timed calls after the first. log_images: whether
    faces may go to MLflow and into executed notebooks.
    """

    experiment: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    question: str = ""
    notebook: str = "notebooks/sweep.ipynb"
    photo: str
    subject: str = "subject"
    repeats: int = Field(default=2, ge=0)
    log_images: bool = False
    base: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    also: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Cell:
    """One setting on one photo. `varied`: the dotted settings the file varies, with this cell's values."""

    key: str
    load_key: str
    settings: RunSettings
    varied: dict[str, Any]


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
        photo = read_photo(photo_path(experiment.photo))
    except (FileNotFoundError, PhotoError) as error:
        raise ExperimentError(f"{path}: photo: {error}") from error
    return experiment, expand(experiment, photo.sha256)


def expand(experiment: Experiment, photo_sha256: str) -> list[Cell]:
    """All cells of an experiment, duplicates dropped; raises ExperimentError listing every invalid setting."""
    cells: dict[str, Cell] = {}
    faults: list[str] = []
    for varied in _points(experiment):
        settings = _validated(experiment.base, varied, faults)
        if settings is not None:
            cell = _cell(settings, varied, photo_sha256)
            cells.setdefault(cell.key, cell)
    if faults:
        raise ExperimentError("; ".join(dict.fromkeys(faults)))
    return list(cells.values())


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


def _validated(base: Mapping[str, Any], varied: Mapping[str, Any], faults: list[str]) -> RunSettings | None:
    """The settings of one cell, or None with every fault appended to `faults`."""
    known = len(faults)
    tree = copy.deepcopy(dict(base))
    for dotted, value in varied.items():
        _put(tree, dotted, value, faults)
    faults.extend(_plugin_faults(tree))
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


def _plugin_faults(tree: Mapping[str, Any]) -> list[str]:
    """Unknown levers, quality measures and recognisers, and unknown options of known ones."""
    faults = []
    gate = tree.get("gate")
    gate = gate if isinstance(gate, dict) else {}
    quality = [("sdaug.quality", gate.get(group)) for group in ("measures", "reported")]
    for package, chosen in (("sdaug.levers", tree.get("levers")), *quality):
        for name, options in chosen.items() if isinstance(chosen, dict) else ():
            try:
                plugins.load(package, name, options)
            except (plugins.PluginError, TypeError) as error:
                faults.append(str(error))
    similar = gate.get("min_similarity")
    known = plugins.names("sdaug.recognition")
    unknown = [name for name in similar if name not in known] if isinstance(similar, dict) else []
    return faults + [f"unknown recogniser {name!r}; {nearest(str(name), known)}" for name in unknown]


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
        else:
            faults.append(f"setting {place!r} is {fault['input']!r}: {fault['msg']}")
    return faults


def _known(model: type[Config], place: tuple[Any, ...]) -> list[str]:
    for part in place:
        inner = model.model_fields[part].annotation
        if isinstance(inner, type) and issubclass(inner, Config):
            model = inner
    return list(model.model_fields)


def _cell(settings: RunSettings, varied: dict[str, Any], photo_sha256: str) -> Cell:
    whole = settings.model_dump(mode="json")
    loaded = {name: value for name, value in whole.items() if name != "generation"}
    return Cell(_key(whole, photo_sha256), _key(loaded, photo_sha256), settings, varied)


def _key(content: Mapping[str, Any], photo_sha256: str) -> str:
    """A stable name for settings, code version and input: the first 16 hex digits of a SHA-256."""
    canonical = json.dumps([content, version("sdaug"), photo_sha256], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def cell_key(settings: RunSettings, generation: GenerationSettings, photo_sha256: str) -> str:
    """The key of the cell with these load-time settings and these call-time ones."""
    return _cell(settings.model_copy(update={"generation": generation}), {}, photo_sha256).key
