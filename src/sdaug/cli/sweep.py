"""`sdaug sweep`"""

import json
from pathlib import Path

import click
from tqdm import tqdm

from sdaug.cli.options import out_folder


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--out", default=None, help="Folder of the results.  [default: build/EXPERIMENT]")
@click.option("--dry-run", is_flag=True, help="Print the cells and stop.")
@click.option(
    "--executor",
    "executor_name",
    type=click.Choice(("serial", "loky", "dask")),
    default="serial",
    show_default=True,
    help="Where kernels run: one after the other, several here, or on the workers of a Dask scheduler.",
)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Kernels at once, of loky.")
@click.option("--scheduler", default=None, help="Address of the Dask scheduler; every worker must see --out.")
@click.option("--resource", multiple=True, help="What each kernel takes of a Dask worker, for example GPU=1.")
@click.option("--tracking-uri", default=None, help="MLflow server to log to.  [default: mlruns/mlflow.db here]")
@click.option("--confirm-above", type=int, default=200, show_default=True, help="More cells than this want --yes.")
@click.option("--yes", is_flag=True, help="Run however many cells there are.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def command(
    file: str,
    out: str | None,
    dry_run: bool,
    executor_name: str,
    jobs: int,
    scheduler: str | None,
    resource: tuple[str, ...],
    tracking_uri: str | None,
    confirm_above: int,
    yes: bool,
    as_json: bool,
) -> None:
    """Run the experiment in FILE; what is finished is never run twice. Exit status 1 if a cell failed."""
    from sdaug.executors import executor
    from sdaug.experiment import ExperimentError, load_experiment
    from sdaug.search import run_search
    from sdaug.sweep import describe, finish, groups, run_sweep, unfinished

    try:
        where = executor(executor_name, scheduler=scheduler, jobs=jobs, resources=_resources(resource))
        experiment, cells = load_experiment(file)
    except ValueError as error:  # ExperimentError is one
        raise click.UsageError(str(error)) from error
    folder = out_folder(out or f"build/{experiment.experiment}")
    todo = unfinished(cells, folder)
    if experiment.search is not None:
        click.echo(f"a search of {experiment.search.trials} settings, proposed one after the other", err=True)
    else:
        click.echo(f"{len(cells)} cells, {len(todo)} to run in {len(groups(todo))} kernels", err=True)
    if dry_run:
        for cell in cells:
            varied = " ".join(f"{name}={value}" for name, value in cell.varied.items())
            click.echo(f"{cell.key}  {cell.person.name} seed={cell.settings.generation.seed} {varied}".rstrip())
        return
    if len(todo) > confirm_above and not yes:
        raise click.UsageError(f"{len(todo)} cells are more than {confirm_above}; --yes runs them")
    with tqdm(total=len(todo), desc="cells", unit="cell", disable=None) as bar:

        def show(done: int, total: int, what: str) -> None:
            bar.set_postfix_str(what)
            bar.update(done - bar.n)

        def show_trial(done: int, total: int, what: str) -> None:
            bar.total, bar.unit = total, "trial"
            show(done, total, what)

        try:
            if experiment.search is not None:
                cells, outcome = run_search(experiment, folder, show_trial, where)
            else:
                outcome = run_sweep(experiment, cells, folder, show, where)
        except ExperimentError as error:
            raise click.UsageError(str(error)) from error
    choice = finish(experiment, outcome, folder, Path.cwd(), tracking_uri)
    statuses = [result["status"] for result in outcome.results]
    figures = {status: statuses.count(status) for status in ("finished", "failed", "skipped")}
    figures_and_choice = figures | {"chosen": choice.key, "why": choice.why}
    click.echo(
        json.dumps(figures_and_choice) if as_json else f"{figures}; chosen: {choice.key or 'none'}: {choice.why}"
    )
    for cell, result in zip(outcome.cells, outcome.results, strict=True):
        if result["status"] != "finished":
            what = f"{cell.key} {cell.person.name} {describe(cell)}"
            click.echo(f"{result['status']}: {what}: {result['error']}", err=True)
    if outcome.failed:
        raise click.exceptions.Exit(1)


def _resources(given: tuple[str, ...]) -> dict[str, float]:
    """`GPU=1` and the like as Dask takes them; raises ValueError."""
    found = {}
    for text in given:
        name, _, amount = text.partition("=")
        try:
            found[name] = float(amount)
        except ValueError as error:
            raise ValueError(f"--resource {text!r}; expected a name and a number, for example GPU=1") from error
    return found
