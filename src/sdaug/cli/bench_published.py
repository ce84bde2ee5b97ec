"""`sdaug bench published`"""

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
def published(as_json: bool) -> None:
    """Compare times that others published with predictions that have not seen them. Nothing is run."""
    from sdaug.costmodel.figures import COVERAGE
    from sdaug.costmodel.published import compare, compare_ratios, held

    rows, ratios = compare(), compare_ratios()
    inside, counted = held(rows)
    if as_json:
        report = {"schema": "sdaug.bench.published/2", "times": [row.report() for row in rows]}
        report["coverage"] = {"inside": inside, "measurements": counted, "stated": COVERAGE}
        report |= {"ratios": [asdict(row) | {"error": row.error} for row in ratios]}
        click.echo(json.dumps(report, indent=2))
        return
    for row in rows:
        of = row.published
        what = f"{of.device} {of.runtime} {of.model}{' ControlNet' if of.controlled else ''}"
        predicted = f"{row.predicted_s:.4g} ({row.low_s:.4g}-{row.high_s:.4g})"
        mark = ("" if row.inside else "  outside") + ("  known to the device's file" if of.seen else "")
        click.echo(f"{what:42} {row.measured_s:8.4g} s published, {predicted} predicted, {row.error:+.1%}{mark}")
    for row in ratios:
        click.echo(f"{row.device} {row.runtime}: ControlNet makes a step {row.measured:.2f} times as long, "
                   f"predicted {row.predicted:.2f}")  # fmt: skip
    click.echo(f"inside the interval: {inside} of {counted} measurements that no prediction has seen, "
               f"{inside / counted:.0%} of {COVERAGE:.0%} stated")  # fmt: skip
