"""The database of a service: opened, its tables made, and the data key checked against it."""

import logging
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, select
from sqlalchemy.exc import IntegrityError

from sdaug.service import tables
from sdaug.service.settings import DATABASE, ServiceSettings
from sdaug.service.vault import Vault, VaultError, open_vault

CHECK = b"sdaug.service/1"

log = logging.getLogger("sdaug.service")


def open_database(settings: ServiceSettings) -> tuple[Engine, Vault]:
    """The engine and the vault. Makes the data folder (readable by its owner only), the tables and, at first, the key.

    Raises VaultError where the data key is not the one that this database was made with.
    """
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.data.chmod(0o700)
    if settings.database_url is None:
        (settings.data / DATABASE).touch(0o600)
    vault = open_vault(settings.key_file or default_key_file(settings.data))
    # Without hiding, an error of the database quotes the row.
    engine = create_engine(settings.url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    tables.metadata.create_all(engine)
    _check_key(engine, vault)
    erase_freed(engine)  # what a killed process deleted and could not yet cut off
    return engine, vault


def default_key_file(data: Path) -> Path:
    """Beside the data folder and not in it, so that a copy of the folder alone cannot be read."""
    return data.parent / f"{data.name}.key"


def erase_freed(engine: Engine) -> None:
    """After a deletion: leaves none of the deleted bytes in SQLite's write-ahead log. Other databases see to it
    themselves (docs/privacy.md)."""
    if engine.dialect.name != "sqlite":
        return
    for _ in range(100):
        with engine.connect() as connection:
            busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if not busy:
            return
        time.sleep(0.02)  # somebody reads
    log.warning("deleted bytes remain in the write-ahead log until the next deletion or start: it is being read")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # an enrolment that was answered survives a power cut
        "foreign_keys=ON",
        "secure_delete=ON",  # deleted bytes are overwritten, not only unlinked
        "busy_timeout=10000",
        "temp_store=MEMORY",  # no page of a sort in a temporary file
    ):
        connection.execute(f"PRAGMA {pragma}")


def _check_key(engine: Engine, vault: Vault) -> None:
    with engine.begin() as connection:
        known = connection.execute(select(tables.meta.c.value).where(tables.meta.c.name == "check")).scalar()
    if known is None:
        try:
            with engine.begin() as connection:
                connection.execute(insert(tables.meta).values(name="check", value=vault.seal(CHECK, "check")))
            return
        except IntegrityError:  # another process was first
            return _check_key(engine, vault)
    try:
        vault.open(known, "check")
    except VaultError as error:
        raise VaultError("this data key is not the one that the database was made with") from error
