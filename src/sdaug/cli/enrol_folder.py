"""`sdaug enrol-folder`"""

import json
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from sdaug.cli.executor_options import chosen_executor, executor_options
from sdaug.cli.options import (
    chosen_face,
    chosen_option,
    chosen_settings,
    cohort_option,
    generation_options,
    hold,
    out_folder,
    run_settings,
)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--out", required=True, help="Folder of the results: bundles/SUBJECT, rows/SUBJECT.json, enrolled.json.")
@chosen_option
@click.option("--consent", type=click.Path(exists=True, dir_okay=False), help="JSON file: purpose, legal_basis, "
              "and where known reference, time, controller; of everybody.")  # fmt: skip
@click.option("--retention-until", default=None, help="ISO 8601 day or time after which the bundles must be deleted.")
@click.option("--images/--no-images", "include_images", default=True, show_default=True, help="Keep the pixels.")
@click.option("--overwrite", is_flag=True, help="Make bundles of other photos or settings anew.")
@executor_options
@generation_options
@cohort_option
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def command(
    folder: str,
    out: str,
    chosen: str | None,
    consent: str | None,
    retention_until: str | None,
    include_images: bool,
    overwrite: bool,
    executor: str,
    jobs: int,
    scheduler: str | None,
    resource: tuple[str, ...],
    cohort: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Enrol everybody in FOLDER: a sub-folder of photos, or one photo, is one subject, and its name the subject's id,
    which must be opaque: never a person's name.

    Who is enrolled or refused stays so; who failed is tried again. Exit status 1 if somebody was not enrolled.
    """
    from sdaug.bulk import enrolments, let_go, run_bulk, subjects_in, to_do
    from sdaug.diffusion.components import WeightsError
    from sdaug.enrolment.bundle import Terms
    from sdaug.executors import NoWorkers
    from sdaug.packs import PackError, check_pack

    settings = run_settings(options) if chosen is None else chosen_settings(chosen, options)
    try:
        terms = Terms(
            consent=None if consent is None else json.loads(Path(consent).read_text(encoding="utf-8")),
            retention_until=retention_until,
            include_images=include_images,
        )
        check_pack(settings.pack)
        gpu = settings.backend == "diffusion" and settings.model.device.startswith("cuda")
        where = chosen_executor(executor, jobs, scheduler, resource, gpu, let_go)
        tasks = enrolments(
            subjects_in(Path(folder)), settings, out_folder(out), face=chosen_face(options["which"]),
            cohort=None if cohort is None else Path(cohort), terms=terms, overwrite=overwrite,
        )  # fmt: skip
    except (PackError, ValueError, WeightsError) as error:
        raise click.UsageError(str(error)) from error
    hold(out_folder(out))
    todo = to_do(tasks)
    click.echo(f"{len(tasks)} subjects, {len(todo)} to enrol", err=True)
    with tqdm(total=len(todo), desc="subjects", unit="subject", disable=None) as bar:
        try:
            rows = run_bulk(tasks, where, lambda subject: bar.update())
        except NoWorkers as error:
            raise click.UsageError(str(error)) from error
    statuses = [row["status"] for row in rows]
    figures = {status: statuses.count(status) for status in ("enrolled", "refused", "failed")}
    click.echo(json.dumps(figures) if as_json else f"{figures} in {out}")
    for row in rows:
        if row["status"] != "enrolled":
            click.echo(f"{row['status']}: {row['subject']}: {row.get('reason', '')} {row.get('error', '')}", err=True)
    if figures["enrolled"] < len(tasks):
        raise click.exceptions.Exit(1)
