"""`sdaug augment`"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

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
@click.argument("photo")
@click.option("--out", required=True, help="Folder for NN.png and manifest.json.")
@generation_options
@cohort_option
@click.option("--json", "as_json", is_flag=True, help="Print the manifest instead of a table.")
def command(photo: str, out: str, cohort: str | None, as_json: bool, **options: Any) -> None:
    """Turn the face in PHOTO (a file, or `astronaut`) to up to ten poses.

    Exit status 1 when the photo is refused or no image was accepted.
    """
    from sdaug.augmentor import GenerativeAugmentor
    from sdaug.cohort import read_cohort
    from sdaug.output import OutputError, check_free, write_augmentation

    folder = out_folder(out)
    settings = run_settings(options)
    which = chosen_face(options["which"])
    source = open_photo(photo)
    with exit_status(photo, OutputError):
        augmentor = GenerativeAugmentor(settings=settings)
        try:
            check_free(folder)
            others = None if cohort is None else read_cohort(Path(cohort), augmentor.pack)
            with tqdm(total=options["num_angles"], desc="angles", unit="angle", disable=None, leave=False) as bar:
                record = augmentor.augment(source, face=which, cohort=others, progress=partial(_advance, bar))
            write_augmentation(folder, record)
        finally:
            augmentor.cleanup()
    if as_json:
        click.echo((folder / "manifest.json").read_text(encoding="utf-8"), nl=False)
    else:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        click.echo(table(manifest))
        click.echo(f"{len(record.accepted)} of {len(record.angles)} accepted, in {out}")
        click.echo(other_rule(manifest))
    if not record.accepted:
        raise click.exceptions.Exit(1)


def other_rule(manifest: dict[str, Any]) -> str:
    """What the mission's rule would have kept, and which checks could not be made."""
    counts, angles = manifest["acceptance"], manifest["angles"]
    missing = sorted({name for angle in angles for name in angle["not_evaluated"]})
    unchecked = f"; not evaluated: {', '.join(missing)}" if missing else ""
    return f"the mission's rule alone would keep {counts['mission_rule']} of {counts['angles']}{unchecked}"


def _advance(bar: tqdm, done: int, total: int) -> None:
    bar.update(done - bar.n)


def table(manifest: dict[str, Any]) -> str:
    """One line an angle."""
    recogniser = manifest["pack"]["recognisers"][0]
    lines = [f"{'image':8}{'asked for':>14}{'measured':>14}  {'rung':18}{'similarity':>11}  reasons"]
    for angle in manifest["angles"]:
        asked, found = angle["requested"], angle["measured"]
        measured = "-" if found is None else f"{found['yaw_deg']:+.0f}, {found['pitch_deg']:+.0f}"
        score = angle["similarity"].get(recogniser)
        reasons = ", ".join(dict.fromkeys([*angle["degraded"], *angle["reasons"]]))
        lines.append(
            f"{angle['image'] or '-':8}{asked['yaw_deg']:+8.0f}, {asked['pitch_deg']:+4.0f}{measured:>14}  "
            f"{angle['rung']:18}{'-' if score is None else f'{score:.2f}':>11}  {reasons}".rstrip()
        )
    return "\n".join(lines)
