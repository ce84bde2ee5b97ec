"""`sdaug verify`"""

import json
from dataclasses import asdict
from pathlib import Path

import click

from sdaug.cli.bundle_options import expected, expected_options


@click.command()
@click.argument("bundle", type=click.Path(exists=True))
@expected_options
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def command(
    bundle: str, recogniser_sha256: str | None, public_key: str | None, unverified: bool, as_json: bool
) -> None:
    """Check BUNDLE, a folder, a zip or an encrypted file (key in SDAUG_BUNDLE_KEY): sums, sizes, vectors, markings,
    signature, and that nothing was added or taken away."""
    from sdaug.enrolment.verify import BundleError, load_embeddings, report

    wanted = expected(recogniser_sha256, public_key, unverified)
    try:
        manifest = load_embeddings(Path(bundle), expected=wanted)[1]
    except BundleError as error:
        raise click.ClickException(str(error)) from error
    found = report(manifest)
    signature = None if found.signer is None else "verified" if public_key else "not verified"
    if as_json:
        figures = {k: v for k, v in asdict(found).items() if k != "subject"}
        click.echo(json.dumps(figures | {"signature": signature, "pose_map": list(manifest.pose_map.rows)}))
        return
    click.echo(f"sound: {found.rows} vectors by {found.recogniser}, {found.by_origin}, {found.refused} refused")
    click.echo(f"signature: {signature or 'none'}; kept until: {found.retention_until or 'not said'}")
    click.echo(manifest.pose_map.text())
