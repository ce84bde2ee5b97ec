"""`sdaug evaluate gate`"""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from sdaug.cli.options import FACES_VARIABLE, pack_failure, pack_option


@click.command()
@click.option("--faces", default=None, help=f"Folder that holds london/NNN_neutral.jpg.  [default: ${FACES_VARIABLE}]")
@pack_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def gate(faces: str | None, pack: str, as_json: bool) -> None:
    """Make all ten views of many people and count what is kept, and what is kept of images that are wrong."""
    from sdaug.config import GateSettings
    from sdaug.evaluation.gate.rates import evaluate_gate
    from sdaug.packs import PackError, load_pack

    folder = Path(faces or os.environ.get(FACES_VARIABLE, "")) / "london"
    try:
        with tqdm(desc="people", unit="person", disable=None, leave=False) as bar:
            report = evaluate_gate(folder, load_pack(pack), GateSettings(), partial(_advance, bar))
    except PackError as error:
        raise pack_failure(error) from error
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(report, indent=2) if as_json else text(report))


def _advance(bar: tqdm, name: str) -> None:
    bar.set_postfix_str(name)
    bar.update()


def text(report: dict[str, Any]) -> str:
    """One line a class of images: what the gate does without and with a cohort, and what the mission's rule does."""
    found = report["reported"]
    bare, company = found["without_cohort"], found["with_cohort"]
    lines = [
        f"{report['recogniser']}, {bare['people']} people on whom no threshold was chosen",
        f"{'':32}{'n':>6}  {'without cohort':20}{'with cohort':20}{'mission rule':20}",
        _line("people with 9 of 10 accepted", bare["people_with_9_of_10"], company["people_with_9_of_10"],
              bare["people_with_9_of_10_by_mission_rule"]),
    ]  # fmt: skip
    for verdict in ("accepted", "refused"):
        for name, row in bare[verdict].items():
            lines.append(_line(f"{verdict}: {name}", row, company[verdict][name], row["mission_rule"]))
    return "\n".join(lines)


def _line(name: str, *rows: dict[str, Any]) -> str:
    cells = (f"{row['rate']:.3f} ({row['low']:.3f}-{row['high']:.3f})" for row in rows)
    return f"{name:32}{rows[0]['n']:6}  {''.join(f'{cell:20}' for cell in cells)}".rstrip()
