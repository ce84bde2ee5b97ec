"""`sdaug sweep`"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from sdaug.cli.executor_options import chosen_executor, executor_options
from sdaug.cli.options import hold, out_folder


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--out", default=None, help="Folder of the results.  [default: build/EXPERIMENT]")
@click.option("--dry-run", is_flag=True, help="Print the cells, their predicted time and memory, and stop.")
@click.option("--device", default=None,
              help="Whose predictions --dry-run prints, as `sdaug plan` names it.  [default: this computer]",
)  # fmt: skip
@executor_options
@click.option("--tracking-uri", default=None,
              help="MLflow server, http://HOST:PORT, that every worker logs to.  [default: mlruns/mlflow.db here]",
)  # fmt: skip
@click.option("--confirm-above", type=int, default=200, show_default=True, help="More cells than this want a yes.")
@click.option("--retry-skipped", is_flag=True,
              help="Run again what was skipped for something that was not here, such as a package.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Run however many cells there are.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def command(
    file: str,
    out: str | None,
    dry_run: bool,
    device: str | None,
    tracking_uri: str | None,
    confirm_above: int,
    retry_skipped: bool,
    yes: bool,
    as_json: bool,
    **where: Any,
) -> None:
    """Run the experiment in FILE; what is finished is never run twice. Exit status 1 if a cell failed."""
    from sdaug.executors import NoWorkers
    from sdaug.experiment import COMPARE, ExperimentError, load_experiment
    from sdaug.search import cells_left, run_search
    from sdaug.sweep import describe, finish, forget_skipped, groups, log_early, run_sweep, unfinished
    from sdaug.tracking import check_store

    try:
        experiment, known = load_experiment(file)
        gpu = any(cell.settings.model.device.startswith("cuda") for cell in known if cell.settings.backend != "warp")
        executor = chosen_executor(**where, gpu=gpu)
    except ValueError as error:  # ExperimentError is one
        raise click.UsageError(str(error)) from error
    folder = out_folder(out or f"build/{experiment.experiment}")
    search = experiment.search
    if retry_skipped and (dry_run or search is not None):
        raise click.UsageError(f"--retry-skipped takes results away; not with {'--dry-run' if dry_run else 'a search'}")
    cells = known if search is None else []
    if retry_skipped:
        hold(folder)
        forget_skipped(cells, folder)
    todo = unfinished(cells, folder)
    if search is None:
        to_run = len(todo)
        click.echo(f"{len(cells)} cells, {to_run} to run in {len(groups(todo))} kernels", err=True)
    else:
        to_run = cells_left(experiment, list(dict.fromkeys(cell.person for cell in known)), folder)
        click.echo(f"a search of {search.trials} settings, proposed one after the other, {to_run} cells to run at most;"
                   " which ones is only known as it goes", err=True)  # fmt: skip
    if dry_run:
        if search is None:
            _dry_run(cells, todo, experiment.repeats, device, as_json)
        else:
            _dry_search(known, to_run, experiment.repeats, device, as_json)
        return
    if to_run > confirm_above and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"{to_run} cells are more than {confirm_above}; --yes runs them")
        click.confirm(f"{to_run} cells are more than {confirm_above}; run them?", abort=True)
    try:
        if tracking_uri is not None:
            check_store(tracking_uri)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if to_run and not Path(COMPARE).is_file():
        raise click.UsageError(f"{COMPARE!r}, which compares what is made, does not exist in {Path.cwd()}")
    if not retry_skipped:
        hold(folder)
    parent = log_early(experiment, cells, folder, Path.cwd(), tracking_uri)
    try:
        total, what = (len(todo), "cell") if search is None else (search.trials, "trial")
        with tqdm(total=total, desc=f"{what}s", unit=what, disable=None) as bar, _counted(bar, todo, folder):

            def show(done: int, total: int, what: str) -> None:
                bar.set_postfix_str(what)
                if search is not None:
                    bar.total = total
                    bar.update(done - bar.n)

            if search is not None:
                cells, outcome = run_search(experiment, folder, show, executor)
            else:
                outcome = run_sweep(experiment, cells, folder, show, executor, parent)
    except (ExperimentError, NoWorkers) as error:
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


def _dry_run(cells: Any, todo: Any, repeats: int, device: str | None, as_json: bool) -> None:
    """Every cell, then what those still to run are predicted to take."""
    rows = [
        {"key": cell.key, "person": cell.person.name, "seed": cell.settings.generation.seed, "varied": cell.varied}
        for cell in cells
    ]
    for row in () if as_json else rows:
        varied = " ".join(f"{name}={value}" for name, value in row["varied"].items())
        click.echo(f"{row['key']}  {row['person']} seed={row['seed']} {varied}".rstrip())
    found = _forecast(todo, repeats, device)
    if as_json:
        click.echo(json.dumps({"cells": rows, "to_run": len(todo), "predicted": found.report()}, indent=2))
    elif todo:
        click.echo(f"\n{found.text()}")


def _dry_search(tried: Any, to_run: int, repeats: int, device: str | None, as_json: bool) -> None:
    """How many cells a search runs at most, and what one cell of each setting it could propose is predicted to take."""
    first = {cell.setting_key: cell for cell in reversed(tried)}
    found = _forecast([first[key] for key in dict.fromkeys(cell.setting_key for cell in tried)], repeats, device)
    if as_json:
        report = {name: value for name, value in found.report().items() if name in ("kind", "settings")}
        click.echo(json.dumps({"cells": None, "to_run_at_most": to_run, "predicted": report}, indent=2))
    else:
        click.echo(f"at most {to_run} cells, of settings such as these\n\n{found.text(together=False)}")


def _forecast(cells: Any, repeats: int, device: str | None) -> Any:
    from sdaug.planning.sweeps import forecast

    with tqdm(desc="predicting", unit="setting", disable=None, leave=False) as bar:

        def show(what: str, done: int, total: int) -> None:
            bar.set_postfix_str(what)
            bar.total = total
            bar.update(done - bar.n)

        try:
            return forecast(cells, repeats, device, show)
        except ValueError as error:
            raise click.UsageError(str(error)) from error


@contextmanager
def _counted(bar: Any, todo: Any, folder: Path) -> Iterator[None]:
    """The bar moved by the results that come, wherever they are made: a kernel is many cells, and time left is told
    from each of them."""
    from sdaug.run import RESULT

    def written(key: str) -> int | None:
        try:
            return (folder / "cells" / key / RESULT).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    before = {cell.key: written(cell.key) for cell in todo}  # of an earlier failure, which is taken away
    over = threading.Event()

    def count() -> None:
        done = sum(written(key) not in (None, earlier) for key, earlier in before.items())
        bar.update(done - bar.n)

    def watch() -> None:
        while not over.wait(1):
            count()

    if bar.disable or not before:
        yield
        return
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        count()
