"""`sdaug bench counting`"""

import json

import click


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--device", default="orin-agx-64", show_default=True, help="Whose plan is made.")
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
def counting(file: str, device: str, as_json: bool) -> None:
    """Time how long every setting in FILE, an experiment, takes to be counted in a fresh process without a cache."""
    from sdaug.bench.counting import bench_counting

    try:
        report = bench_counting(file, device)
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    late = "" if report["in_time"] else f", above {report['limit_s']:g} s"
    counted = f"{report['counted']} of {report['settings']} settings counted in {report['seconds']:.1f} s{late}"
    click.echo(json.dumps(report, indent=2) if as_json else counted)
