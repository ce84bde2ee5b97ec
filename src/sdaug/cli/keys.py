"""`sdaug keys`"""

import json
from dataclasses import asdict
from pathlib import Path

import click

data_option = click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=None, envvar="SDAUG_DATA", show_envvar=True,
    help="Data folder of the service.",
)  # fmt: skip
database_option = click.option(
    "--database-url", default=None, envvar="SDAUG_DATABASE_URL", show_envvar=True,
    help="SQLAlchemy URL; by default SQLite in the data folder.",
)  # fmt: skip


def service_settings(data: Path | None, database_url: str | None, **more: object):
    """The settings that the options describe."""
    from sdaug.service.settings import ServiceSettings

    given = {"database_url": database_url, **more} | ({} if data is None else {"data": data.absolute()})
    return ServiceSettings.model_validate(given)


def _engine(data: Path | None, database_url: str | None):
    from sdaug.service.database import open_database
    from sdaug.service.vault import VaultError

    try:
        return open_database(service_settings(data, database_url))[0]
    except VaultError as error:
        raise click.UsageError(str(error)) from error


@click.group()
def command() -> None:
    """API keys of the service: make, list, revoke; and a data key."""


@command.command("create")
@click.option("--label", required=True, help="What it is for; 1 to 64 characters.")
@data_option
@database_option
def create_command(label: str, data: Path | None, database_url: str | None) -> None:
    """Make a key and print it: this once."""
    from sdaug.service.api_keys import create_key

    try:
        click.echo(create_key(_engine(data, database_url), label))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@command.command("list")
@data_option
@database_option
@click.option("--json", "as_json", is_flag=True, help="Print the keys as JSON.")
def list_command(data: Path | None, database_url: str | None, as_json: bool) -> None:
    """All keys by id; what they open the service with is not kept."""
    from sdaug.service.api_keys import list_keys

    keys = list_keys(_engine(data, database_url))
    if as_json:
        click.echo(json.dumps({"keys": [asdict(key) for key in keys]}, indent=2))
        return
    for key in keys:
        click.echo(f"{key.id}  {key.created}  {f'revoked {key.revoked}' if key.revoked else 'good'}  {key.label}")


@command.command("revoke")
@click.argument("key_id", metavar="ID")
@data_option
@database_option
def revoke_command(key_id: str, data: Path | None, database_url: str | None) -> None:
    """Make the key ID useless, at once."""
    from sdaug.service.api_keys import revoke_key

    try:
        revoke_key(_engine(data, database_url), key_id)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"revoked {key_id}")


@command.command("data-key")
def data_key_command() -> None:
    """Print a new key for SDAUG_DATA_KEY, which what is stored is encrypted with. Lose it, and the data is lost."""
    from sdaug.service.vault import new_key

    click.echo(new_key())
