"""Experiment files: validated whole before anything starts, and expanded into settings with stable keys."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from sdaug import plugins
from sdaug.cells import Cell, Person, cells_of, code_digest, pack_digest, weights_digest
from sdaug.compare import FIGURES, OF_A_RECOGNISER
from sdaug.config import Config, ModelSettings, RunSettings, nearest
from sdaug.face.photo import read_photo
from sdaug.packs import PackError
from sdaug.photos import one_each, photo_path, photos_in
from sdaug.setting_faults import plugin_fault, spoken, validated
from sdaug.types import PhotoError


class ExperimentError(ValueError):
    """An experiment file that cannot be run as it stands; the message lists every fault with its place."""


class Range(Config):
    """Values from low to high, both included; whole numbers where both are. log: as likely in every order of size."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high {self.high}; expected low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low} with log; expected more than 0")
        return self

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: Any) -> bool:
        kind = int if self.whole else (int, float)
        return isinstance(value, kind) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{'a whole number' if self.whole else 'a number'} from {self.low} to {self.high}"


COMPARE = "notebooks/compare.ipynb"
"""What compares the results of every sweep, once all are there."""


class Search(Config):
    """The adaptive mode. axes: dotted setting -> values or a range. objectives: figure as `compare.metrics` names it ->
    what is wanted of it. trials: how many settings are proposed. sampler: TPE, or NSGA-II, whose first 50
    trials are random."""

    axes: dict[str, list[Any] | Range] = Field(min_length=1)
    objectives: dict[str, Literal["minimize", "maximize"]] = Field(min_length=1)
    trials: int = Field(default=20, ge=1)
    sampler: Literal["nsga2", "tpe"] = "tpe"
    seed: int = Field(default=0, ge=0)


class Experiment(Config):
    """What an experiment file may say.

    photo: of the one person; people: a folder with a photo of each, or name -> photo. seeds: every setting runs with
    each of them; none are given: with its own. base: settings all cells share (see RunSettings). grid: dotted setting
    -> values; their Cartesian product. also: further settings outside the grid, each laid over `base`. search: the
    adaptive mode, in place of both. baseline: dotted settings of the one that others are compared with; none are given:
    the first. A search begins there, and wants a value of each of its axes. budget_gb: what the chosen setting's peak
    may be, in GB of 10^9 bytes, allocated on the GPU, or resident where there is none. subject: whom the chosen setting
    is to enrol. repeats: timed calls after the first. log_images: whether faces, names and vectors may go to MLflow and
    into executed notebooks.
    """

    experiment: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    question: str = ""
    notebook: str = "notebooks/sweep.ipynb"
    photo: str | None = None
    people: str | dict[str, str] | None = None
    seeds: list[Annotated[int, Field(ge=0)]] = []
    subject: str = "subject"
    repeats: int = Field(default=2, ge=0)
    log_images: bool = False
    base: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    also: list[dict[str, Any]] = []
    search: Search | None = None
    baseline: dict[str, Any] = {}
    budget_gb: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _of_somebody(self) -> "Experiment":
        if (self.photo is None) == (self.people is None):
            raise ValueError("expected either 'photo' or 'people', and not both")
        return self

    @model_validator(mode="after")
    def _grid_or_search(self) -> "Experiment":
        if self.search is not None and (self.grid or self.also):
            raise ValueError("'search' and 'grid' or 'also' are given; expected one of the two")
        return self

    @model_validator(mode="after")
    def _seeds_in_one_place(self) -> "Experiment":
        varied = ["grid"] if "generation.seed" in self.grid else []
        varied += ["search"] if self.search is not None and "generation.seed" in self.search.axes else []
        varied += ["also"] if any("generation.seed" in dict(_flat(extra)) for extra in self.also) else []
        if self.seeds and varied:
            raise ValueError(f"'seeds' are given and {varied[0]!r} varies 'generation.seed'; expected one of the two")
        return self

    @model_validator(mode="after")
    def _baseline_in_the_search(self) -> "Experiment":
        if self.search is None or not self.baseline:
            return self
        axes = self.search.axes
        for name, value in self.baseline.items():
            if name not in axes:
                raise ValueError(f"baseline: {name!r} is not varied; {nearest(name, list(axes))}")
            if value not in axes[name]:
                wanted = f"one of {axes[name]}" if isinstance(axes[name], list) else axes[name]
                raise ValueError(f"baseline: {name!r} is {value!r}; expected {wanted}, as the search says")
        if missing := [name for name in axes if name not in self.baseline]:
            raise ValueError(f"baseline: {missing[0]!r} is missing; expected a value of every axis of the search")
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
        faults = spoken(error, Experiment) if isinstance(error, ValidationError) else [str(error)]
        raise ExperimentError(f"{path}: " + "; ".join(faults)) from error


def load_experiment(path: str | Path) -> tuple[Experiment, list[Cell]]:
    """The experiment in a YAML file and all its cells, validated. Raises ExperimentError or FileNotFoundError.

    Of a search, whose settings are not known yet, the cells of every value and every end of a range, as `expand` tries
    them: they need not be among those that it runs.
    """
    experiment = read_experiment(path)
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
            asked = {path.stem: str(path) for path in one_each(photos_in(str(experiment.people)))}
        except (FileNotFoundError, ValueError) as error:
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
    experiment: Experiment,
    people: Sequence[Person],
    weights: Callable[[ModelSettings], str] = weights_digest,
    pack: Callable[[str], str] = pack_digest,
    code: Callable[[str], str] = code_digest,
) -> list[Cell]:
    """All cells of an experiment, duplicates dropped; raises ExperimentError listing every invalid setting.

    Of a search each axis is tried at its values, or at both ends of its range, while the others stay at the baseline or
    else at their first values. Which combinations are impossible shows when they are proposed.

    weights, pack, code: the digest of a model's weights, of a face pack's files and of a notebook's code, an error of
    which is a fault of the setting that wants it.
    """
    cells: dict[str, Cell] = {}
    faults: list[str] = []
    known: dict[str, str] = {}
    notebook = _notebook(experiment.notebook, code, faults)
    check = functools.cache(plugin_fault)
    for varied in _points(experiment):
        settings = validated(experiment.base, varied, faults, check)
        if settings is None:
            continue
        files = (_weights(settings, weights, known, faults), _pack(settings.pack, pack, known, faults))
        # How often a call is repeated is not what is run; whether it is, decides which of its times is compared.
        how = (*files, notebook, experiment.repeats > 0)
        for cell in cells_of(settings, varied, people, experiment.seeds, how):
            cells.setdefault(cell.key, cell)
    faults += _objective_faults(experiment) + _pack_faults(list(cells.values()))
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


def _objective_faults(experiment: Experiment) -> list[str]:
    if experiment.search is None:
        return []
    recognisers = plugins.names("sdaug.recognition")
    known = [*FIGURES, *(f"{figure}.{name}" for figure in OF_A_RECOGNISER for name in recognisers)]
    return [
        f"search.objectives: unknown figure {name!r}; {nearest(name, known)}"
        for name in experiment.search.objectives
        if name not in known
    ]


def _pack_faults(cells: Sequence[Cell]) -> list[str]:
    packs = list(dict.fromkeys(cell.settings.pack for cell in cells))
    if len(packs) < 2:
        return []
    return [f"pack varies: {', '.join(packs)}; expected one, since similarities of two recognisers cannot be compared"]


def _notebook(notebook: str, digest: Callable[[str], str], faults: list[str]) -> str:
    try:
        return digest(notebook)
    except FileNotFoundError:
        faults.append(f"notebook {notebook!r} does not exist")
    except OSError as error:
        faults.append(f"notebook {notebook!r} cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError) as error:
        faults.append(f"notebook {notebook!r} is no notebook: {type(error).__name__}: {error}")
    return ""


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


def _pack(name: str, digest: Callable[[str], str], known: dict[str, str], faults: list[str]) -> str:
    if name not in known:
        known[name] = ""
        try:
            known[name] = digest(name)
        except PackError as error:
            faults.append(f"pack is {name!r}: {error}")
    return known[name]


def _points(experiment: Experiment) -> Iterator[dict[str, Any]]:
    axes = {} if experiment.search is None else experiment.search.axes
    tried = {name: axis if isinstance(axis, list) else [axis.low, axis.high] for name, axis in axes.items()}
    places = {"grid": experiment.grid, "search": tried}
    empty = [(place, name) for place, of in places.items() for name, values in of.items() if not values]
    if empty:
        raise ExperimentError("; ".join(f"{place} axis {name!r} has no values" for place, name in empty))
    if experiment.search is not None:
        start = experiment.baseline or {name: values[0] for name, values in tried.items()}
        yield dict(start)
        for name, values in tried.items():
            yield from (start | {name: value} for value in values)
        return
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
