"""`sdaug verify`"""

import json
from pathlib import Path

import click


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False))
@click.option("--recogniser-sha256", default=None, help="Digest the bundle's recogniser must have.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def command(bundle: str, recogniser_sha256: str | None, as_json: bool) -> None:
    """Check BUNDLE: sums, sizes, vectors, markings, and that nothing was added or taken away."""
    from sdaug.enrolment.verify import BundleError, verify_bundle

    try:
        report = verify_bundle(Path(bundle), recogniser_sha256)
    except BundleError as error:
        raise click.ClickException(str(error)) from error
    figures = {"rows": report.rows, "dim": report.dim, "recogniser": report.recogniser, "by_origin": report.by_origin}
    click.echo(
        json.dumps(figures) if as_json else f"sound: {report.rows} vectors by {report.recogniser}, {report.by_origin}"
    )
