"""`sdaug plan`"""

import json
from typing import Any

import click
from tqdm import tqdm


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False), required=False)
@click.option("--device", required=True,
              help="Such as orin-agx-64, orin-agx-64:30W (a power mode), cpu (this computer); a wrong name lists all.",
)  # fmt: skip
@click.option("--budget-gb", type=click.FloatRange(0, min_open=True), default=None,
              help="GB (10^9 bytes) that tensors may take.  [default: 8, or what the device has]")  # fmt: skip
@click.option("--target-s", type=click.FloatRange(0, min_open=True), default=None,
              help="Seconds an image: recommends what keeps it and gives up least.")  # fmt: skip
@click.option("--calibrate", is_flag=True, help="With --device cpu: time its operators first, two minutes.")
@click.option("--here", is_flag=True, help="Refuse where the GPU here is known to be another one.")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON.")
def command(
    file: str | None,
    device: str,
    budget_gb: float | None,
    target_s: float | None,
    calibrate: bool,
    here: bool,
    as_json: bool,
) -> None:
    """Predict time and memory of every setting in FILE, an experiment, on a machine that need not be here.

    Without FILE: the mission's configurations, the recipes, and few-step settings. Nothing is run and no weights are
    read: arithmetic and traffic are counted. Exit status 1 where no setting fits the budget.
    """
    from sdaug.bench.predicted import check_here
    from sdaug.planning.machine import default_budget_gb, half_format, machine_named
    from sdaug.planning.plan import plan
    from sdaug.planning.report import make_report, text
    from sdaug.planning.standard import standard_settings

    try:
        if calibrate:
            _calibrate(device)
        machine = machine_named(device)
        if here:
            check_here(machine, "cuda")
        half = half_format(machine)
        asked = standard_settings(half) if file is None else settings_in(file, machine)
    except ValueError as error:  # ExperimentError is one
        raise click.UsageError(str(error)) from error
    budget = budget_gb or default_budget_gb(machine)
    with tqdm(desc="settings", unit="setting", disable=None, leave=False) as bar:

        def show(what: str, done: int, total: int) -> None:
            bar.set_postfix_str(what)
            bar.total = total
            bar.update(done - bar.n)

        report = make_report(machine, plan(machine, asked, budget, show), budget, target_s, half)
    click.echo(json.dumps(report.json(), indent=2) if as_json else text(report))
    if report.recommended is None:
        raise click.exceptions.Exit(1)


def settings_in(file: str, machine: Any) -> list[Any]:
    """The settings of an experiment file, each once, whoever is turned in it, as they run on `machine`."""
    from sdaug.cells import Person, named
    from sdaug.experiment import expand, read_experiment
    from sdaug.planning.settings import Asked, as_run

    nobody = Person("nobody", "", "")
    cells = expand(
        read_experiment(file), [nobody], weights=lambda model: "", pack=lambda name: name, code=lambda notebook: ""
    )
    each = {cell.setting_key: cell for cell in cells}.values()
    return [Asked(named(cell.varied), as_run(cell.settings, machine)) for cell in each]


def _calibrate(device: str) -> None:
    if device != "cpu":
        raise click.UsageError(f"--calibrate times this computer's processor; it goes with --device cpu, not {device}")
    from sdaug.costmodel.calibration import calibrate, remember_calibration

    with tqdm(desc="operators", unit="operator", disable=None, leave=False) as bar:

        def show(what: str, done: int, total: int) -> None:
            bar.set_postfix_str(what)
            bar.total = total
            bar.update(done - bar.n)

        remember_calibration(calibrate(show))
