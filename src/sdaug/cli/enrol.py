"""`sdaug enrol`"""

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sdaug.cli.options import (
    chosen_face,
    cohort_option,
    exit_status,
    generation_options,
    open_photo,
    out_folder,
    run_settings,
)


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option("--subject", required=True, help="Opaque id of the person: never a name or a national id.")
@click.option("--out", required=True, help="Folder of the bundle.")
@click.option("--chosen", type=click.Path(exists=True, dir_okay=False), help="A sweep's chosen.json: use its settings.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier bundle at OUT.")
@generation_options
@cohort_option
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def command(
    photos: tuple[str, ...],
    subject: str,
    out: str,
    chosen: str | None,
    overwrite: bool,
    cohort: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Enrol one person from PHOTO...: the photos, the accepted images, their vectors, all of it verified."""
    from sdaug.config import RunSettings
    from sdaug.enrol import enrol
    from sdaug.enrolment.verify import verify_bundle

    settings = run_settings(options)
    if chosen is not None:
        context = click.get_current_context()
        given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if extra := [name for name in given if name != "which"]:
            raise click.UsageError(f"--chosen brings its own settings; leave out {', '.join(extra)}")
        try:
            choice = json.loads(Path(chosen).read_text(encoding="utf-8"))
            if choice["settings"] is None:
                raise click.UsageError(f"{chosen} holds no setting: {choice['why']}")
            settings = RunSettings(**choice["settings"])
        except (ValueError, KeyError, TypeError) as error:
            raise click.UsageError(f"{chosen} is not a sweep's choice: {error}") from error
    which = chosen_face(options["which"])
    sources = [open_photo(name) for name in photos]
    folder = out_folder(out)
    with exit_status(", ".join(photos), ValueError, FileExistsError):
        others = None if cohort is None else Path(cohort)
        enrol(sources, subject, folder, settings, face=which, cohort=others, overwrite=overwrite)
    report = verify_bundle(folder)
    figures = {"rows": report.rows, "dim": report.dim, "recogniser": report.recogniser, "by_origin": report.by_origin}
    click.echo(json.dumps(figures) if as_json else f"{report.rows} vectors in {out}: {report.by_origin}")
