"""Where this user's caches lie: things that can be deleted at any time and are then made anew."""

import os
from pathlib import Path

CACHE_VARIABLE = "SDAUG_CACHE"


def cache_folder() -> Path:
    """`$SDAUG_CACHE`, else `$XDG_CACHE_HOME/sdaug`, else `~/.cache/sdaug`; it need not exist yet.

    The XDG Base Directory Specification 0.8 wants a relative `XDG_CACHE_HOME` ignored; a relative `SDAUG_CACHE` is
    taken from the current folder.
    """
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (shared if shared.is_absolute() else Path("~/.cache").expanduser()) / "sdaug"
