"""Who did what and when; never to whom by name, never a face, a vector or a score."""

from sqlalchemy import Connection, Engine, delete, insert

from sdaug.service.clock import now, stamp
from sdaug.service.tables import audit
from sdaug.service.vault import Vault


def pseudonym(vault: Vault, person_id: str) -> str:
    """How the log calls a person: whoever has the data key and an id can find its lines, nobody else can."""
    return vault.keyed_hash("audit", person_id)[:32]


def write_line(
    connection: Connection, action: str, actor: str, outcome: str, subject: str | None = None, request_id: str = ""
) -> None:
    """One line, in the caller's transaction. subject: from `pseudonym`, or of what is done to an API key its id.
    outcome: "done" or an error's code."""
    connection.execute(
        insert(audit).values(
            at=stamp(now()), action=action, actor=actor, subject=subject, outcome=outcome, request_id=request_id
        )
    )


def sweep_lines(engine: Engine, before: str) -> int:
    """Deletes the lines older than `before`; returns how many."""
    with engine.begin() as connection:
        return connection.execute(delete(audit).where(audit.c.at < before)).rowcount
