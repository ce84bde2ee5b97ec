"""`sdaug evaluate`"""

import json
import os

import click

from sdaug.cli.options import PACK_VARIABLE, pack_failure

FACES_VARIABLE = "SDAUG_FACES"


@click.group()
def command() -> None:
    """Is the view right?"""


@command.command()
@click.option("--head3d", default=None, help=f"Folder of renders at known pose.  [default: ${FACES_VARIABLE}/head3d]")
@click.option(
    "--pack", default="embedded", show_default=True, envvar=PACK_VARIABLE, show_envvar=True, help="Face pack."
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def truth(head3d: str | None, pack: str, as_json: bool) -> None:
    """Make every view of a 3-D head from its frontal one and compare it with the true view."""
    from sdaug.evaluation.truth import evaluate_truth
    from sdaug.packs import PackError, load_pack
    from sdaug.types import PhotoError

    folder = head3d or os.path.join(os.environ.get(FACES_VARIABLE, ""), "head3d")
    try:
        report = evaluate_truth(folder, load_pack(pack))
    except PackError as error:
        raise pack_failure(error) from error
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
    except PhotoError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    click.echo(f"similarity to the true view, {report['recogniser']}")
    for name, row in report["summary"].items():
        figures = "  ".join(f"{key} {value:.3f}" for key, value in row.items() if key != "n" and value is not None)
        click.echo(f"{name:10} n {row['n']:3}  {figures}")
    errors = report["pose_error_deg"]
    click.echo(f"pose error: median {errors['median']:.1f} deg, 95 % within {errors['p95']:.1f} deg")
