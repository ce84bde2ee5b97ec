"""`sdaug evaluate`"""

import json
import os
from functools import partial
from typing import Any

import click
from tqdm import tqdm

from sdaug.cli.evaluate_gain import gain
from sdaug.cli.evaluate_gate import gate
from sdaug.cli.options import FACES_VARIABLE, pack_failure, pack_option


@click.group()
def command() -> None:
    """Is the view right? Does enrolling views help?"""


command.add_command(gain)
command.add_command(gate)


@command.command()
@click.option("--head3d", default=None, help=f"Folder of renders at known pose.  [default: ${FACES_VARIABLE}/head3d]")
@click.option("--people", default=None, help="Folder of frontal photos, one a person, to turn to the ten angles too.")
@click.option("--pattern", default="*", show_default=True, help="Which files of --people, such as '*_neutral.jpg'.")
@click.option("--limit", type=click.IntRange(1), default=None, help="At most so many people.")
@pack_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def truth(head3d: str | None, people: str | None, pattern: str, limit: int | None, pack: str, as_json: bool) -> None:
    """Make every view of a 3-D head from its frontal one and compare it with the true view."""
    from sdaug.evaluation.truth.people import evaluate_people
    from sdaug.evaluation.truth.report import evaluate_truth
    from sdaug.evaluation.truth.text import truth_text
    from sdaug.packs import PackError, load_pack
    from sdaug.types import PhotoError

    folder = head3d or os.path.join(os.environ.get(FACES_VARIABLE, ""), "head3d")
    try:
        loaded = load_pack(pack)
        with tqdm(desc="views", unit="view", disable=None, leave=False) as bar:
            report = evaluate_truth(folder, loaded, partial(_advance, bar))
        if people is not None:
            with tqdm(desc="people", unit="person", disable=None, leave=False) as bar:
                report["people"] = evaluate_people(people, loaded, pattern, limit, partial(_advance, bar))
    except PackError as error:
        raise pack_failure(error) from error
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
    except PhotoError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(report, indent=2) if as_json else truth_text(report))


def _advance(bar: Any, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)
