"""What whoever runs the service may set."""

import os
from pathlib import Path

from pydantic import Field

from sdaug.config import Config, RunSettings

DATA_VARIABLE = "SDAUG_DATA"
DATABASE_VARIABLE = "SDAUG_DATABASE_URL"

DATABASE = "service.db"
MIB = 1024 * 1024


def data_folder() -> Path:
    """`$SDAUG_DATA`, else `$XDG_DATA_HOME/sdaug/service`, else `~/.local/share/sdaug/service`."""
    own = os.environ.get(DATA_VARIABLE)
    if own:
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_DATA_HOME") or "")
    return (shared if shared.is_absolute() else Path("~/.local/share").expanduser()) / "sdaug" / "service"


class Limits(Config):
    """How much one client, one request and one queue may take.

    image_bytes: of one uploaded file; request_bytes: of a whole request with several. pixels: of one image, read from
    its header before anything is decoded. decode_s: seconds a worker may take to decode one photo. stall_s: seconds a
    worker may be silent in later steps; generation_stall_s: the same for the one that generates, reading weights
    included. face_queue, generation_queue: jobs that wait or run; one more is refused. uploads: requests with a body
    that are served at once. requests_per_minute, changes_per_minute: of one API key, all and those that are not GET;
    of one address, those without a good key. failures_per_minute: wrong keys from one address, and lines of the audit
    log on what is refused to it. previews: kept in memory at once; kept_s: seconds that a finished job and its preview
    live.
    """

    image_bytes: int = Field(default=10 * MIB, ge=1)
    request_bytes: int = Field(default=64 * MIB, ge=1)
    pixels: int = Field(default=40_000_000, ge=1)
    decode_s: float = Field(default=10.0, gt=0)
    stall_s: float = Field(default=60.0, gt=0)
    generation_stall_s: float = Field(default=300.0, gt=0)
    face_queue: int = Field(default=16, ge=1)
    generation_queue: int = Field(default=4, ge=1)
    uploads: int = Field(default=16, ge=1)
    requests_per_minute: int = Field(default=1200, ge=1)
    changes_per_minute: int = Field(default=120, ge=1)
    failures_per_minute: int = Field(default=10, ge=1)
    previews: int = Field(default=8, ge=1)
    kept_s: float = Field(default=900.0, gt=0)


class ServiceSettings(Config):
    """One service.

    data: folder of the database unless `database_url` (any SQLAlchemy URL) names another. hosts: names the service may
    be called by beside those of this machine. run: how images are made and judged. retention_days: days after which a
    person is deleted; None keeps until deleted. idempotency_hours: how long a key's answer is remembered.
    session_hours: how long the page stays signed in. secure_cookie: the page is reached by https only.
    key_file: where the data key lies if `SDAUG_DATA_KEY` is unset; None is a file beside the data folder.
    """

    data: Path = Field(default_factory=data_folder)
    database_url: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8321, ge=0, le=65535)
    hosts: tuple[str, ...] = ()
    run: RunSettings = RunSettings()
    limits: Limits = Limits()
    retention_days: int | None = Field(default=None, ge=1)
    idempotency_hours: int = Field(default=24, ge=1)
    session_hours: int = Field(default=8, ge=1)
    secure_cookie: bool = False
    key_file: Path | None = None

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{self.data / DATABASE}"
