"""`sdaug bench predict`"""

import json
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False), required=False)
@click.option("--device", default="cpu", show_default=True,
              help="Whose predictions: cpu is this computer as calibrated; a GPU's name must be what runs here.",
)  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default=None,
              help="Of the parts.  [default: float32 on a CPU, float16 on a GPU]")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Times that each is run.")
@click.option("--size", "sizes", type=click.IntRange(64, 1024), multiple=True, default=(256, 384, 512),
              show_default=True, help="Pixels a side, of the parts.")  # fmt: skip
@click.option("--parts/--no-parts", default=True, help="Whether the networks are run one by one too.")
@click.option("--wholes/--no-wholes", default=True, help="Whether whole calls are run.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), default=None,
              help="Write every value there as JSON, whatever is printed.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
def predict(
    file: str | None,
    device: str,
    dtype: Any,
    rounds: int,
    sizes: tuple[int, ...],
    parts: bool,
    wholes: bool,
    save: Path | None,
    as_json: bool,
) -> None:
    """Run full-size networks and whole calls here and compare with what was predicted.

    FILE: an experiment whose settings are run as whole calls; without it a few on random weights. A time that the
    device's peak does not allow is in no figure; it is told beside them, and the exit status is 1.
    """
    from sdaug.bench.predicted import compare, table
    from sdaug.cli.plan import settings_in
    from sdaug.costmodel.device import Device
    from sdaug.planning.machine import machine_named
    from sdaug.planning.standard import local_settings
    from sdaug.record import write_json

    try:
        machine = machine_named(device)
        asked = (local_settings() if file is None else settings_in(file, machine)) if wholes else []
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not parts and not asked:
        raise click.UsageError("--no-parts and --no-wholes leave nothing to run")
    on_gpu = isinstance(machine, Device)
    with tqdm(desc="runs", unit="run", disable=None, leave=False) as bar:

        def show(what: str, done: int, total: int) -> None:
            bar.set_postfix_str(what)
            bar.total = total
            bar.update(done - bar.n)

        try:
            report = compare(
                machine, asked, device="cuda" if on_gpu else "cpu", dtype=dtype or ("float16" if on_gpu else "float32"),
                rounds=rounds, sizes=sorted(sizes), parts=parts, progress=show,
            )  # fmt: skip
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    if save is not None:
        write_json(save, report)
    click.echo(json.dumps(report, indent=2) if as_json else table(report))
    if report["impossible"]:
        raise click.ClickException(
            f"{len(report['impossible'])} of the times are shorter than the device's peak allows: "
            + ", ".join(one["name"] for one in report["impossible"])
        )
