"""What the commands about bundles share: the keys they are held against, and where these come from."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def expected_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads a bundle."""
    for option in reversed(
        [
            click.option("--recogniser-sha256", default=None, help="Digest the bundle's recogniser must have."),
            click.option("--public-key", type=click.Path(exists=True, dir_okay=False), default=None,
                         help="PEM file of the Ed25519 key that must have signed the bundle."),
            click.option("--allow-unverified-signature", "unverified", is_flag=True,
                         help="Take a signed bundle without its public key; all but the signature is checked."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def expected(recogniser_sha256: str | None, public_key: str | None, unverified: bool) -> Any:
    """What the options and the environment describe, for `verify_bundle`."""
    from sdaug.enrolment.signing import SigningKeyError, read_public_key
    from sdaug.enrolment.verify import Expected

    if public_key is not None and unverified:
        raise click.UsageError("--public-key and --allow-unverified-signature exclude each other")
    try:
        key = None if public_key is None else read_public_key(Path(public_key))
    except SigningKeyError as error:
        raise click.UsageError(str(error)) from error
    return Expected(recogniser_sha256, key, unverified, bundle_key())


def bundle_key() -> bytes | None:
    """The key of encrypted bundles from the environment, None where it is unset. No option takes it: arguments are seen
    by everybody on the machine."""
    from sdaug.enrolment.sealing import KEY_VARIABLE, SealError, parse_key

    text = os.environ.get(KEY_VARIABLE)
    try:
        return parse_key(text) if text else None
    except SealError as error:
        raise click.UsageError(f"{KEY_VARIABLE}: {error}") from error
