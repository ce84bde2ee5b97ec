"""API keys: made once, shown once, and from then on known only by the SHA-256 of their secret."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import Engine, func, insert, select, update

from sdaug.service.audit import write_line
from sdaug.service.clock import now, stamp
from sdaug.service.tables import api_keys

PREFIX = "sdaug"
_SHAPE = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")

COMMAND = "command"
"""Who makes and revokes keys, in the audit log: somebody at this machine, who needs no key for it."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key. `revoked`: when, None while it is good."""

    id: str
    label: str
    created: str
    revoked: str | None


def create_key(engine: Engine, label: str) -> str:
    """A new key as text, `sdaug_ID_SECRET`: nobody can show it again. Raises ValueError for an unusable label."""
    if not 1 <= len(label) <= 64 or not label.isprintable():
        raise ValueError(f"label must be 1 to 64 printable characters, got {len(label)}")
    identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with engine.begin() as connection:
        connection.execute(
            insert(api_keys).values(id=identity, label=label, secret_sha256=_digest(secret), created=stamp(now()))
        )
        write_line(connection, "key_create", COMMAND, "done", identity)
    return f"{PREFIX}_{identity}_{secret}"


def list_keys(engine: Engine) -> list[ApiKey]:
    """All keys, revoked ones too, the oldest first."""
    columns = api_keys.c.id, api_keys.c.label, api_keys.c.created, api_keys.c.revoked
    with engine.connect() as connection:
        return [
            ApiKey(*row) for row in connection.execute(select(*columns).order_by(api_keys.c.created, api_keys.c.id))
        ]


def revoke_key(engine: Engine, identity: str) -> None:
    """Makes a key useless from now on, sessions made with it too. Raises ValueError if no good key has this id."""
    with engine.begin() as connection:
        good = (api_keys.c.id == identity) & api_keys.c.revoked.is_(None)
        if connection.execute(update(api_keys).where(good).values(revoked=stamp(now()))).rowcount != 1:
            raise ValueError(f"there is no unrevoked key {identity!r}; `sdaug keys list` shows them")
        write_line(connection, "key_revoke", COMMAND, "done", identity)


def any_key(engine: Engine) -> bool:
    """Whether a key was ever made: the first start makes one."""
    with engine.connect() as connection:
        return bool(connection.execute(select(func.count()).select_from(api_keys)).scalar())


def check_key(engine: Engine, text: str) -> str | None:
    """The id of a good key, None for anything else."""
    shape = _SHAPE.fullmatch(text)
    identity, secret = shape.groups() if shape else ("", "")
    with engine.connect() as connection:
        good = (api_keys.c.id == identity) & api_keys.c.revoked.is_(None)
        known = connection.execute(select(api_keys.c.secret_sha256).where(good)).scalar()
    # An unknown id takes as long as a wrong secret.
    same = hmac.compare_digest(_digest(secret), known or _digest(""))
    return identity if known is not None and same else None


def still_good(engine: Engine, identity: str) -> bool:
    """Whether the key with this id exists and is not revoked."""
    with engine.connect() as connection:
        good = (api_keys.c.id == identity) & api_keys.c.revoked.is_(None)
        return connection.execute(select(api_keys.c.id).where(good)).scalar() is not None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
