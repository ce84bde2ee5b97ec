"""The `sdaug` command. Exit status: 0 done, 1 refused or failed, 2 used wrongly."""

import importlib
import logging
import sys
from typing import Any

import click

COMMANDS = {
    "augment": "One photo to images at up to ten poses, with a manifest.",
    "enrol": "Photos of one person to an enrolment bundle.",
    "enrol-folder": "A folder of people to a bundle each, here or on several machines.",
    "verify": "Check an enrolment bundle.",
    "export": "An enrolment bundle for another program.",
    "sweep": "Run an experiment file, resuming what is unfinished.",
    "report": "One self-contained HTML page about a sweep.",
    "evaluate": "Is the view right?",
    "bench": "How fast is it here?",
    "plan": "How fast, how large on a machine that need not be here?",
    "engine": "UNet and ControlNet as ONNX graphs.",
    "models": "Weights: list, fetch, check.",
    "serve": "The enrolment API and its admin page.",
    "keys": "API keys of the service.",
    "doctor": "Is this machine ready?",
}


class LazyGroup(click.Group):
    """Imports a command's file only when that command is used: `sdaug --help` loads none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"sdaug.cli.{cmd_name.replace('-', '_')}").command

    def invoke(self, ctx: click.Context) -> Any:
        """A disk or path that says no ends the command with its message, not with a traceback."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            raise click.ClickException(str(error)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from sdaug.config import nearest

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"unknown command {args[0]!r}; {nearest(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log what is done.")
@click.option("-q", "--quiet", is_flag=True, help="Log errors only.")
@click.version_option(package_name="sdaug")
def main(verbose: bool, quiet: bool) -> None:
    """One photo of a person in, the same person at up to ten head poses out: measured, judged, packed for enrolment."""
    logger = logging.getLogger("sdaug")
    logger.setLevel(logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(name)s: %(levelname)s: %(message)s"))
        logger.addHandler(handler)
