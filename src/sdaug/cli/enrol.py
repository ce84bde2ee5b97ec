"""`sdaug enrol`"""

import json
from pathlib import Path
from typing import Any

import click

from sdaug.cli.bundle_options import bundle_key
from sdaug.cli.options import (
    chosen_face,
    chosen_option,
    chosen_settings,
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
@click.option("--out", required=True, help="Folder of the bundle; a name that ends in .zip is a zip.")
@chosen_option
@click.option("--overwrite", is_flag=True, help="Replace an earlier bundle at OUT.")
@click.option("--consent", type=click.Path(exists=True, dir_okay=False), help="JSON file: purpose, legal_basis, "
              "and where known reference, time, controller.")  # fmt: skip
@click.option("--retention-until", default=None, help="ISO 8601 day or time after which the bundle must be deleted.")
@click.option("--label", default=None, help="A name for people to read; by default none is stored.")
@click.option("--evaluation", type=click.Path(exists=True, dir_okay=False),
              help="Report of `sdaug evaluate gain --json`, whose gist is stored.")  # fmt: skip
@click.option("--images/--no-images", "include_images", default=True, show_default=True, help="Keep the pixels.")
@click.option("--sign-with", type=click.Path(exists=True, dir_okay=False), help="PEM file of an Ed25519 private key.")
@click.option("--encrypt", is_flag=True, help="One encrypted file (AES-256-GCM), key in SDAUG_BUNDLE_KEY.")
@generation_options
@cohort_option
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def command(
    photos: tuple[str, ...],
    subject: str,
    out: str,
    chosen: str | None,
    overwrite: bool,
    consent: str | None,
    retention_until: str | None,
    label: str | None,
    evaluation: str | None,
    include_images: bool,
    sign_with: str | None,
    encrypt: bool,
    cohort: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Enrol one person from PHOTO...: the photos, the accepted images, their vectors, all of it verified."""
    from sdaug.enrol import enrol
    from sdaug.enrolment.signing import public_of
    from sdaug.enrolment.terms import Terms
    from sdaug.enrolment.verify import Expected, verify_bundle

    settings = run_settings(options) if chosen is None else chosen_settings(chosen, options)
    terms = Terms(
        consent=None if consent is None else _json(consent, "--consent"),
        retention_until=retention_until,
        label=label,
        evaluation=None if evaluation is None else Path(evaluation).read_bytes(),
        include_images=include_images,
        sign_with=_private_key(sign_with),
        key=_encryption_key(encrypt),
    )
    which = chosen_face(options["which"])
    sources = [open_photo(name) for name in photos]
    folder = out_folder(out)
    with exit_status(", ".join(photos), ValueError, FileExistsError):
        others = None if cohort is None else Path(cohort)
        enrol(sources, subject, folder, settings, face=which, cohort=others, terms=terms, overwrite=overwrite)
    own = terms.sign_with and public_of(terms.sign_with)
    report = verify_bundle(folder, expected=Expected(public_key=own, key=terms.key))
    figures = {"rows": report.rows, "dim": report.dim, "recogniser": report.recogniser, "by_origin": report.by_origin}
    click.echo(json.dumps(figures) if as_json else f"{report.rows} vectors in {out}: {report.by_origin}")


def _json(name: str, option: str) -> Any:
    from sdaug.enrolment.layout import strict_json

    try:
        return strict_json(Path(name).read_bytes())
    except ValueError as error:
        raise click.BadParameter(f"{name}: {error}", param_hint=option) from error


def _private_key(name: str | None) -> bytes | None:
    from sdaug.enrolment.signing import SigningKeyError, read_private_key

    try:
        return None if name is None else read_private_key(Path(name))
    except SigningKeyError as error:
        raise click.BadParameter(str(error), param_hint="--sign-with") from error


def _encryption_key(encrypt: bool) -> bytes | None:
    if not encrypt:
        return None
    key = bundle_key()
    if key is None:
        raise click.UsageError("--encrypt needs a key in the environment: SDAUG_BUNDLE_KEY, 32 bytes as base64")
    return key
