"""`sdaug augment`"""

import json
from functools import partial
from typing import Any

import click
from tqdm import tqdm

from sdaug.cli.options import (
    chosen_face,
    generation_options,
    open_photo,
    out_folder,
    pack_failure,
    refusal,
    run_settings,
)


@click.command()
@click.argument("photo")
@click.option("--out", required=True, help="Folder for NN.png and manifest.json.")
@generation_options
@click.option("--json", "as_json", is_flag=True, help="Print the manifest instead of a table.")
def command(photo: str, out: str, as_json: bool, **options: Any) -> None:
    """Turn the face in PHOTO (a file, or `astronaut`) to up to ten poses.

    Exit status 1 when the photo is refused or no image was accepted.
    """
    from sdaug.augmentor import GenerativeAugmentor
    from sdaug.ladder import GenerationFailed
    from sdaug.output import OutputError, check_free, write_augmentation
    from sdaug.packs import PackError
    from sdaug.synthesis.weights import WeightsError
    from sdaug.types import PhotoError

    folder = out_folder(out)
    settings = run_settings(options)
    which = chosen_face(options["which"])
    source = open_photo(photo)
    try:
        augmentor = GenerativeAugmentor(settings=settings)
    except PackError as error:
        raise pack_failure(error) from error
    try:
        check_free(folder)
        with tqdm(total=options["num_angles"], desc="angles", unit="angle", disable=None, leave=False) as bar:
            record = augmentor.augment(source, face=which, progress=partial(_advance, bar))
        write_augmentation(folder, record)
    except PhotoError as error:
        raise refusal(photo, error) from error
    except PackError as error:
        raise pack_failure(error) from error
    except OutputError as error:
        raise click.UsageError(str(error)) from error
    except (WeightsError, GenerationFailed) as error:
        raise click.ClickException(f"{error.reason.value}: {error}") from error
    finally:
        augmentor.cleanup()
    if as_json:
        click.echo((folder / "manifest.json").read_text(encoding="utf-8"), nl=False)
    else:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        click.echo(table(manifest))
        click.echo(f"{len(record.accepted)} of {len(record.angles)} accepted, in {out}")
    if not record.accepted:
        raise click.exceptions.Exit(1)


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
