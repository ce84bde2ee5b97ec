"""`sdaug doctor`"""

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--require", type=click.Choice(["gpu", "weights"]), multiple=True,
              help="Not ready without it, any number; else it is only noted.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def command(require: tuple[str, ...], as_json: bool) -> None:
    """Check packages, GPU, weights and disk. Exit status 1 when not ready."""
    from sdaug.doctor import examine

    checks = examine(require)
    ready = all(check.ok for check in checks if check.required)
    if as_json:
        click.echo(json.dumps({"ready": ready, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        sound = [check for check in checks if check.ok and check.name.startswith("package ")]
        click.echo(f"ok   {len(sound)} packages within their limits (--json lists them)")
        for check in checks:
            if check in sound:
                continue
            mark = "ok  " if check.ok else ("FAIL" if check.required else "note")
            click.echo(f"{mark} {check.name}: {check.found}")
            if not check.ok:
                click.echo(f"     wanted: {check.wanted}; {check.hint}")
        click.echo("ready" if ready else "not ready")
    if not ready:
        raise click.exceptions.Exit(1)
