"""`sdaug export`"""

import json
from pathlib import Path

import click

from sdaug import plugins
from sdaug.cli.bundle_options import expected, expected_options
from sdaug.cli.options import out_folder

PACKAGE = "sdaug.enrolment.exporters"


@click.command()
@click.argument("bundle", type=click.Path(exists=True))
@click.option("--to", "target", required=True, help="Target.",
              type=click.Choice([name.replace("_", "-") for name in plugins.names(PACKAGE)]))  # fmt: skip
@click.option("--out", required=True, help="File or folder that does not exist yet.")
@click.option("--include", type=click.Choice(["captured", "all"]), default=None,
              help="Photos alone, or generated views too; by default photos for images, else all.")  # fmt: skip
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE",
              help="What the target needs: dim=512, recogniser_sha256=..., table=..., collection=..., "
              "embedding_contract_id=... (docs/enrolment.md).")  # fmt: skip
@expected_options
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def command(
    bundle: str,
    target: str,
    out: str,
    include: str | None,
    options: tuple[str, ...],
    recogniser_sha256: str | None,
    public_key: str | None,
    unverified: bool,
    as_json: bool,
) -> None:
    """Verify BUNDLE and write it as another program reads it. Vectors leave unencrypted: they are biometric data."""
    from sdaug.enrolment.exporters import ExportError, write_export
    from sdaug.enrolment.opened import open_bundle
    from sdaug.enrolment.verify import BundleError

    if odd := [option for option in options if "=" not in option]:
        raise click.BadParameter(f"{odd[0]!r} is not KEY=VALUE", param_hint="-o")
    given = dict(option.split("=", 1) for option in options) | ({} if include is None else {"include": include})
    try:
        exporter = plugins.load(PACKAGE, target.replace("-", "_"), given)
    except plugins.PluginError as error:
        raise click.UsageError(str(error)) from error
    wanted = expected(recogniser_sha256, public_key, unverified)
    try:
        opened = open_bundle(Path(bundle), wanted)
        written = write_export(out_folder(out), exporter.export(opened))
    except (BundleError, ExportError) as error:
        raise click.ClickException(str(error)) from error
    except FileExistsError as error:
        raise click.UsageError(str(error)) from error
    rows = len((opened if exporter.include == "all" else opened.captured()).samples)
    figures = {"to": target, "rows": rows, "recogniser": opened.manifest.recogniser.name, "folder": written.is_dir()}
    click.echo(json.dumps(figures) if as_json else f"{rows} vectors for {exporter.target} in {out}")
