"""`sdaug serve`"""

from pathlib import Path

import click

from sdaug.cli.keys import data_option, database_option, service_settings
from sdaug.cli.options import pack_option
from sdaug.config import DEFAULT_MODEL, nearest
from sdaug.recipes import RECIPES


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="Port to listen at.")
@click.option("--allow-host", "hosts", multiple=True, help="A name the service is called by; once for each.")
@data_option
@database_option
@pack_option
@click.option(
    "--model",
    "model_id",
    default=DEFAULT_MODEL,
    show_default=True,
    help='Hub id, folder in diffusers layout, or "sdaug-nano" (comes with the package).',
)
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu"]),
    default="cuda",
    show_default=True,
    help="Without a GPU the CPU is used.",
)
@click.option("--recipe", type=click.Choice(list(RECIPES)), default=None, help="Recommended steps and levers.")
@click.option("--steps", type=click.IntRange(1, 1000), default=None, help="Steps of the noise schedule.")
@click.option(
    "--retention-days",
    type=click.IntRange(1),
    default=None,
    help="Days after which a person is deleted. Unset: kept until deleted.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="How much one client, request or queue may take, such as face_queue=64; once for each. docs/api.md",
)
@click.option("--behind-https", is_flag=True, help="The page is reached by https: its cookie never goes without.")
def command(
    host: str,
    port: int,
    hosts: tuple[str, ...],
    data: Path | None,
    database_url: str | None,
    pack: str,
    model_id: str,
    device: str,
    recipe: str | None,
    steps: int | None,
    retention_days: int | None,
    limits: tuple[str, ...],
    behind_https: bool,
) -> None:  # fmt: skip
    """Serve the enrolment API and its admin page.

    The first start prints an API key, once. What is stored is encrypted with SDAUG_DATA_KEY.
    """
    import uvicorn

    from sdaug.packs import PackError, check_pack
    from sdaug.service.api_keys import any_key, create_key
    from sdaug.service.app import create_app
    from sdaug.service.vault import VaultError

    try:
        check_pack(pack)
    except PackError as error:
        raise click.UsageError(str(error)) from error
    chosen = RECIPES.get(recipe or "", {"generation": {}, "levers": {}})
    # One angle after the other: progress is real and a cancellation is heard.
    generation = {**chosen["generation"], "batch_size": 1} | ({} if steps is None else {"num_inference_steps": steps})
    run = {
        "pack": pack,
        "model": {"model_id": model_id, "device": device},
        "generation": generation,
        "levers": chosen["levers"],
    }
    settings = service_settings(
        data, database_url, host=host, port=port, hosts=hosts, run=run, retention_days=retention_days,
        secure_cookie=behind_https, limits=_limits(limits),
    )  # fmt: skip
    try:
        app = create_app(settings)
    except VaultError as error:
        raise click.UsageError(str(error)) from error
    engine = app.state.service.engine
    if not any_key(engine):
        click.echo(f"API key, shown this once: {create_key(engine, 'first start')}")
    if host not in ("127.0.0.1", "::1", "localhost") and not behind_https:
        click.echo(f"warning: {host} can be reached from elsewhere, and keys and faces go there unencrypted", err=True)
    click.echo(f"admin page: http://{host}:{port}/")
    # Addresses hold ids of people, so no access log.
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=5,  # somebody may be listening to events
        proxy_headers=behind_https,  # without a proxy in front, whoever asks could call himself anything
    )


def _limits(given: tuple[str, ...]) -> dict[str, object]:
    """The limits that `--limit NAME=VALUE` changes."""
    from pydantic import ValidationError

    from sdaug.service.settings import Limits

    changed = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in Limits.model_fields:
            raise click.UsageError(f"--limit: unknown limit {name!r}; {nearest(name, list(Limits.model_fields))}")
        changed[name] = value
    try:
        checked = Limits.model_validate(changed)
    except ValidationError as error:
        wrong = "; ".join(f"{e['loc'][0]}={e['input']}: {e['msg']}" for e in error.errors())
        raise click.UsageError(f"--limit: {wrong}") from error
    return {name: getattr(checked, name) for name in changed}
