"""The adaptive mode of an experiment file: Optuna proposes settings one after the other, each run like any cell."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdaug.cells import Cell, Person, named
from sdaug.compare import setting_metrics
from sdaug.config import nearest
from sdaug.executors import Executor, serial
from sdaug.experiment import Experiment, ExperimentError, Search, expand, read_people
from sdaug.sweep import Outcome, collect, result_of, run_cells, unfinished

log = logging.getLogger("sdaug")

STUDY = "search.log"
"""Optuna's journal in the sweep's folder: one line an event, appended, so that a kill leaves it whole."""

WHY = "why_no_figures"
"""Of a trial that is done and has no figures to tell: the reason."""


def run_search(
    experiment: Experiment,
    out: Path,
    progress: Callable[[int, int, str], None] | None = None,
    executor: Executor = serial,
    people: Sequence[Person] | None = None,
) -> tuple[list[Cell], Outcome]:
    """Proposes settings until `experiment.search.trials` are done; every cell of all of them, and the outcome.

    The baseline, where one is named, is proposed first. A proposal that is no valid setting is a trial without cells.
    Resumable: of a trial that is done only unfinished cells run again; one that was interrupted is proposed again, and
    finds the cells it had finished. Raises ExperimentError where the file has a fault, or no proposal was a setting.
    """
    search = experiment.search
    if search is None:
        raise ExperimentError("the experiment has no 'search'")
    people = read_people(experiment) if people is None else people
    expand(experiment, people)  # a fault of the file would be every proposal's
    study = _study(search, out)
    _again(study)
    _propose_baseline(study, experiment, search)
    told = _told(study)
    done, cells = len(told), _cells_of(told, experiment, search, people)
    if unfinished(list(cells.values()), out):

        def show(_: int, __: int, what: str) -> None:
            if progress is not None:
                progress(done, search.trials, what)

        run_cells(_with(experiment, {}), list(cells.values()), out, show, executor)
    while done < search.trials or _waiting(study):
        trial = study.ask()
        chosen = _chosen(search, {name: _suggest(trial, name, axis) for name, axis in search.axes.items()})
        own, why = _cells(experiment, chosen, people)
        values: list[float | None] = []
        if own:
            run_cells(_with(experiment, chosen), own, out, executor=executor)
            cells |= {cell.key: cell for cell in own}
            values, why = _values(search, own, out)
        else:
            log.warning("trial %d, %s, is no setting: %s", trial.number, named(chosen), why)
        if why:
            trial.set_user_attr(WHY, why)
            study.tell(trial, state=_state("FAIL"))
        else:
            study.tell(trial, values)
        done += 1
        if progress is not None:
            progress(done, max(done, search.trials), named(chosen))
    if not cells:
        _, why = _cells(experiment, _chosen(search, _told(study)[-1].params), people)
        raise ExperimentError(f"search: none of {done} proposals is a setting; the last: {why}")
    ordered = list(cells.values())
    return ordered, collect(experiment, ordered, out)


def cells_left(experiment: Experiment, people: Sequence[Person], out: Path) -> int:
    """How many cells a search in `out` has still to run, at most: of proposals to come, and unfinished ones of those
    that were made."""
    search = experiment.search
    if search is None:
        raise ExperimentError("the experiment has no 'search'")
    # Nothing is written for a search that has not begun.
    told = _told(_study(search, out)) if (out / STUDY).is_file() else []
    again = unfinished(list(_cells_of(told, experiment, search, people).values()), out)
    to_come = max(search.trials - len(told), int(_lacks_baseline(experiment, search, [trial.params for trial in told])))
    return len(again) + to_come * len(people) * max(len(experiment.seeds), 1)


def _study(search: Search, out: Path) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(out / STUDY))),
        study_name=_name(search),
        directions=list(search.objectives.values()),
        load_if_exists=True,
    )
    # A sampler begins anew with every process: with the same seed it would propose what it proposed before.
    seed = search.seed + len(study.trials)
    if search.sampler == "tpe":
        # By itself it proposes 10 at random first, half of a usual search.
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(4, search.trials // 4)))
    else:
        study.sampler = optuna.samplers.NSGAIISampler(seed=seed)
    return study


def _name(search: Search) -> str:
    """Of other axes or objectives another: Optuna cannot go on with a study that was about something else."""
    asked = search.model_dump(mode="json", include={"axes", "objectives"})
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _told(study: Any) -> list[Any]:
    """Trials that count as done: told their figures, or found to have none."""
    return [trial for trial in study.trials if trial.state == _state("COMPLETE") or WHY in trial.user_attrs]


def _waiting(study: Any) -> list[Any]:
    """Trials that were put to be proposed next."""
    return study.get_trials(deepcopy=False, states=(_state("WAITING"),))


def _fixed(trial: Any) -> dict[str, Any]:
    """What a trial was made to be, before its values were asked for."""
    return trial.system_attrs.get("fixed_params", {})


def _again(study: Any) -> None:
    """Trials that were running when the search was killed are closed and proposed again."""
    for trial in study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
        study.tell(trial.number, state=_state("FAIL"))
        if WHY not in trial.user_attrs and (known := _fixed(trial) | trial.params):
            study.enqueue_trial(known)


def _propose_baseline(study: Any, experiment: Experiment, search: Search) -> None:
    """The baseline is the next to be proposed, unless it was before."""
    known = [trial.params for trial in _told(study)] + [_fixed(trial) for trial in _waiting(study)]
    if not _lacks_baseline(experiment, search, known):
        return
    params = {}
    for name, axis in search.axes.items():
        value = experiment.baseline[name]
        params[name] = _choice(axis[axis.index(value)]) if isinstance(axis, list) else value
    study.enqueue_trial(params)


def _lacks_baseline(experiment: Experiment, search: Search, known: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a baseline is named that is none of these parameters."""
    return bool(experiment.baseline) and experiment.baseline not in [_chosen(search, params) for params in known]


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _suggest(trial: Any, name: str, axis: Any) -> Any:
    if isinstance(axis, list):
        return trial.suggest_categorical(name, [_choice(value) for value in axis])
    suggest = trial.suggest_int if axis.whole else trial.suggest_float
    return suggest(name, axis.low, axis.high, log=axis.log)


def _choice(value: Any) -> str:
    """A value as Optuna stores it, which knows no mappings, such as a lever's options: JSON."""
    return json.dumps(value)


def _chosen(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that Optuna's parameters mean."""
    return {name: json.loads(value) if isinstance(search.axes[name], list) else value for name, value in params.items()}


def _values(search: Search, cells: Sequence[Cell], out: Path) -> tuple[list[float | None], str]:
    """The objectives of one setting, and why they cannot be told: of whom it failed on there are none, and those of the
    others alone would make it look better."""
    results = [result for cell in cells if (result := result_of(cell, out))]
    failed = [result for result in results if result["status"] != "finished"]
    if failed:
        return [], f"{len(failed)} of {len(cells)} cells {failed[0]['status']}: {failed[0]['error']}"
    figures = setting_metrics(results)
    if figures and (unknown := [name for name in search.objectives if name not in figures]):
        raise ExperimentError(f"search.objectives: unknown figure {unknown[0]!r}; {nearest(unknown[0], list(figures))}")
    lacking = [name for name in search.objectives if figures.get(name) is None]
    return [figures.get(name) for name in search.objectives], f"{lacking[0]} was not measured" if lacking else ""


def _cells_of(told: Sequence[Any], experiment: Experiment, search: Search, people: Sequence[Person]) -> dict[str, Cell]:
    """The cells, by key, of the trials that are settings; another code or photo makes other ones of them."""
    settings = [_chosen(search, trial.params) for trial in told]
    return {cell.key: cell for chosen in settings for cell in _cells(experiment, chosen, people)[0]}


def _cells(experiment: Experiment, chosen: Mapping[str, Any], people: Sequence[Person]) -> tuple[list[Cell], str]:
    """The cells of one proposal, or none and why it is no setting."""
    try:
        return expand(_with(experiment, chosen), people), ""
    except ExperimentError as error:
        return [], str(error)


def _with(experiment: Experiment, chosen: Mapping[str, Any]) -> Experiment:
    """The experiment of this one setting, which is its own baseline."""
    grid = {name: [value] for name, value in chosen.items()}
    return experiment.model_copy(update={"grid": grid, "search": None, "baseline": {}})
