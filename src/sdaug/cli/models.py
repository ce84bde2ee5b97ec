"""`sdaug models`"""

import json
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm


@click.group()
def command() -> None:
    """Weights: which there are, fetching them, checking them."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def list_command(as_json: bool) -> None:
    """Every model that can be used: what for, its licence, its pinned revision, whether it is here. Asks nobody."""
    from sdaug.models.catalogue import CATALOGUE, files_here, folder_here

    rows = []
    for model in CATALOGUE:
        folder = folder_here(model)
        size = sum(path.stat().st_size for path in files_here(model, folder)) if folder else None
        rows.append(
            {
                "name": model.name,
                "source": model.source,
                "purpose": model.purpose,
                "licence": model.licence,
                "conditions": model.conditions,
                "revision": model.revision,
                "here": str(folder) if folder else None,
                "size_bytes": size,
            }
        )
    if as_json:
        click.echo(json.dumps({"models": rows}, indent=2))
        return
    for row, model in zip(rows, CATALOGUE, strict=True):
        unset = "none: it comes with this package" if model.kind == "package" else "unset: not looked up"
        state = f"here, {row['size_bytes'] / 1e9:.2f} GB" if row["here"] else "not here"
        click.echo(f"{row['name']}: {row['purpose']}\n    {row['source']}, {state}")
        click.echo(f"    revision {row['revision'] or unset}")
        click.echo(f"    licence {row['licence']}: {row['conditions']}")


@command.command("pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--accept-licence", "accepted", multiple=True, help="Licence you have read and accept; once for each.")
@click.option("--variant", type=click.Choice(["fp16"]), default=None, help="Half-precision files where there are any.")
@click.option("--allow-pickle", is_flag=True, help="Fetch a file that exists only as a pickle.")
@click.option("--json", "as_json", is_flag=True, help="Print what was fetched as JSON.")
def pull_command(names: tuple[str, ...], accepted: tuple[str, ...], variant: str | None, **flags: bool) -> None:
    """Fetch NAME... (see `sdaug models list`). Interrupted, the same command goes on where it stopped."""
    from sdaug.diffusion.components import WeightsError
    from sdaug.models.listing import PullError

    models = [_model(name) for name in names]
    try:
        records = _pull(models, accepted, variant, flags["allow_pickle"])
    except (PullError, WeightsError) as error:
        raise click.ClickException(str(error)) from error
    if flags["as_json"]:
        click.echo(json.dumps({"pulled": records}, indent=2))
        return
    for record in records:
        size = sum(file["size"] for file in record["files"].values())
        click.echo(f"{record['name']}: {len(record['files'])} files, {size / 1e9:.2f} GB, in {record['folder']}")


def _pull(models: list[Any], accepted: tuple[str, ...], variant: str | None, allow_pickle: bool) -> list[Any]:
    """All licences before the first request, each model's size before its first byte."""
    from sdaug.models.listing import PullError, list_files
    from sdaug.models.pull import check_licence, pull
    from sdaug.models.pull_pack import pack_size, pull_pack

    for model in models:
        if model.kind == "package":
            raise PullError(f"{model.name} comes with this package; there is nothing to fetch")
        check_licence(model, accepted)
    records = []
    for model in models:
        if model.kind == "insightface":
            records.append(pull_pack(model, pack_size(model)))
            continue
        listing = list_files(model, variant=variant, allow_pickle=allow_pickle)
        with tqdm(total=listing.size, desc=model.name, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            records.append(pull(model, listing, bar.update))
    return records


@command.command("verify")
@click.argument("names", nargs=-1, required=True, metavar="NAME|FOLDER...")
@click.option("--json", "as_json", is_flag=True, help="Print digests and problems as JSON.")
def verify_command(names: tuple[str, ...], as_json: bool) -> None:
    """Check models by NAME against what was fetched, or a FOLDER of weights. Exit status 1 for anything wrong."""
    from sdaug.models.catalogue import CATALOGUE
    from sdaug.models.verify import verify_folder, verify_model

    known = {model.name for model in CATALOGUE}
    targets = [Path(name) if name not in known and Path(name).is_dir() else _model(name) for name in names]
    verdicts = [verify_folder(t) if isinstance(t, Path) else verify_model(t) for t in targets]
    sound = all(verdict.ok for verdict in verdicts)
    if as_json:
        rows = [
            {"name": v.name, "ok": v.ok, "folder": v.folder, "recorded": v.recorded, "sha256": v.sha256,
             "problems": list(v.problems)}
            for v in verdicts
        ]  # fmt: skip
        click.echo(json.dumps({"ok": sound, "models": rows}, indent=2))
    else:
        for verdict in verdicts:
            for problem in verdict.problems:
                click.echo(f"{verdict.name}: {problem}")
            if verdict.ok:
                compared = "as recorded" if verdict.recorded else "readable; nothing recorded to compare with"
                click.echo(f"{verdict.name}: {len(verdict.sha256)} files, {compared}")
    if not sound:
        raise click.exceptions.Exit(1)


def _model(name: str) -> Any:
    from sdaug.models.catalogue import find

    try:
        return find(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
