"""`sdaug report`"""

from pathlib import Path

import click

from sdaug.cli.options import out_folder


@click.command()
@click.argument("experiment")
@click.option("--out", required=True, help="The HTML file to write.")
@click.option("--results", default=None, help="The sweep's folder.  [default: build/EXPERIMENT]")
@click.option("--no-faces", is_flag=True, help="Leave out pictures and names, though the experiment logs images.")
def command(experiment: str, out: str, results: str | None, no_faces: bool) -> None:
    """One self-contained page about EXPERIMENT: an experiment file, or the name of one."""
    from sdaug.experiment import ExperimentError, read_experiment
    from sdaug.report import write_report
    from sdaug.results import read_sweep

    name = experiment
    if Path(experiment).is_file():
        try:
            name = read_experiment(experiment).experiment
        except ExperimentError as error:
            raise click.UsageError(str(error)) from error
    folder = out_folder(results or f"build/{name}")
    try:
        sweep = read_sweep(folder)
    except FileNotFoundError as error:
        raise click.UsageError(f"{error}; run `sdaug sweep` first, or name its folder with --results") from error
    click.echo(write_report(sweep, out_folder(out), faces=not no_faces))
