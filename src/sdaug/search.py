"""The adaptive mode of an experiment file: Optuna proposes settings one after the other, each run like any cell."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdaug.cells import Cell, Person
from sdaug.compare import setting_metrics
from sdaug.config import nearest
from sdaug.executors import Executor, serial
from sdaug.experiment import Experiment, ExperimentError, Search, expand, read_people
from sdaug.sweep import Outcome, collect, read_result, run_sweep

STUDY = "search.log"
"""Optuna's journal in the sweep's folder: one line an event, appended, so that a kill leaves it whole."""

NOTHING = "nothing_measured"
"""Of a trial that was run to its end and has no figure to tell."""


def run_search(
    experiment: Experiment,
    out: Path,
    progress: Callable[[int, int, str], None] | None = None,
    executor: Executor = serial,
    people: Sequence[Person] | None = None,
) -> tuple[list[Cell], Outcome]:
    """Proposes settings until `experiment.search.trials` are done; every cell of all of them, and the outcome.

    Resumable: a trial that was told its figures is done; one that was interrupted is proposed again, and finds the
    cells it had finished. Raises ExperimentError for a proposal that is no valid setting.
    """
    search = experiment.search
    if search is None:
        raise ExperimentError("the experiment has no 'search'")
    people = read_people(experiment) if people is None else people
    study = _study(search, out)
    _again(study)
    cells: dict[str, Cell] = {cell.key: cell for trial in _told(study) for cell in _cells(experiment, trial, people)}
    while (done := len(_told(study))) < search.trials:
        trial = study.ask()
        chosen = {name: _suggest(trial, name, axis) for name, axis in search.axes.items()}
        own = expand(_with(experiment, chosen), people)
        run_sweep(_with(experiment, chosen), own, out, executor=executor)
        cells |= {cell.key: cell for cell in own}
        figures = setting_metrics([result for cell in own if (result := read_result(out, cell.key))])
        if figures and (unknown := [name for name in search.objectives if name not in figures]):
            raise ExperimentError(
                f"search.objectives: unknown figure {unknown[0]!r}; {nearest(unknown[0], list(figures))}"
            )
        values = [figures.get(name) for name in search.objectives]
        if any(value is None for value in values):
            trial.set_user_attr(NOTHING, True)
            study.tell(trial, state=_state("FAIL"))
        else:
            study.tell(trial, values)
        if progress is not None:
            progress(done + 1, search.trials, ", ".join(f"{name} {value}" for name, value in chosen.items()))
    ordered = list(cells.values())
    return ordered, collect(experiment, ordered, out)


def _study(search: Search, out: Path) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(out / STUDY))),
        study_name="search",
        directions=list(search.objectives.values()),
        load_if_exists=True,
    )
    samplers = {"nsga2": optuna.samplers.NSGAIISampler, "tpe": optuna.samplers.TPESampler}
    # A sampler begins anew with every process: with the same seed it would propose what it proposed before.
    study.sampler = samplers[search.sampler](seed=search.seed + len(study.trials))
    return study


def _told(study: Any) -> list[Any]:
    """Trials that count as done: told their figures, or found to have none."""
    return [trial for trial in study.trials if trial.state == _state("COMPLETE") or NOTHING in trial.user_attrs]


def _again(study: Any) -> None:
    """Trials that were running when the search was killed are closed and proposed again."""
    for trial in study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
        study.tell(trial.number, state=_state("FAIL"))
        if trial.params:
            study.enqueue_trial(trial.params)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _suggest(trial: Any, name: str, axis: Any) -> Any:
    if isinstance(axis, list):
        return trial.suggest_categorical(name, axis)
    suggest = trial.suggest_int if all(isinstance(end, int) for end in (axis.low, axis.high)) else trial.suggest_float
    return suggest(name, axis.low, axis.high, log=axis.log)


def _cells(experiment: Experiment, trial: Any, people: Sequence[Person]) -> list[Cell]:
    return expand(_with(experiment, trial.params), people)


def _with(experiment: Experiment, chosen: Mapping[str, Any]) -> Experiment:
    """The experiment of this one setting."""
    return experiment.model_copy(update={"grid": {name: [value] for name, value in chosen.items()}, "search": None})
