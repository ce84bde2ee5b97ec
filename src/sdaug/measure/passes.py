"""How many images each network saw: what a call's arithmetic follows from, whatever was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SEEN: ContextVar[dict[str, int] | None] = ContextVar("sdaug-passes", default=None)


@contextmanager
def passes() -> Iterator[dict[str, int]]:
    """Images that every network saw within the block and thread, by network; a block within takes its own.

    >>> with passes() as seen:
    ...     passed("unet", 2)
    ...     passed("unet", 4)
    >>> seen
    {'unet': 6}
    """
    seen: dict[str, int] = {}
    token = _SEEN.set(seen)
    try:
        yield seen
    finally:
        _SEEN.reset(token)


def passed(network: str, images: int) -> None:
    """Notes a pass of `network` over `images` at once, a guided one's twice. Outside of `passes` it does nothing."""
    seen = _SEEN.get()
    if seen is not None:
        seen[network] = seen.get(network, 0) + images
