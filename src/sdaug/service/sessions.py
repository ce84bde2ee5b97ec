"""Sessions of the admin page: an API key exchanged for a cookie that scripts cannot read."""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

COOKIE = "sdaug_session"


@dataclass(frozen=True)
class Session:
    """key_id: of the API key it was made with. ends: by the clock."""

    key_id: str
    ends: float


class Sessions:
    """Kept in memory, by the hash of their token: a restart signs everybody out. clock: seconds, rising."""

    def __init__(self, lasts_s: float, clock: Callable[[], float] = time.monotonic):
        self._lasts_s, self._clock = lasts_s, clock
        self._open: dict[str, Session] = {}

    def begin(self, key_id: str) -> str:
        """A new token."""
        now = self._clock()
        self._open = {name: session for name, session in self._open.items() if session.ends > now}
        token = secrets.token_urlsafe(32)
        self._open[_name(token)] = Session(key_id, now + self._lasts_s)
        return token

    def find(self, token: str) -> Session | None:
        """The session behind a token, None if there is none or it has ended."""
        session = self._open.get(_name(token))
        return session if session is not None and session.ends > self._clock() else None

    def end(self, token: str) -> None:
        """Signs out."""
        self._open.pop(_name(token), None)


def _name(token: str) -> str:
    # Looked up by hash: how long a look-up takes says nothing of the token.
    return hashlib.sha256(token.encode()).hexdigest()
