"""Times as the service stores and shows them: UTC to the second, ISO 8601."""

import datetime


def now() -> datetime.datetime:
    """The current time, UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def stamp(moment: datetime.datetime) -> str:
    """As text that sorts like the times.

    >>> stamp(datetime.datetime(2030, 1, 31, 12, tzinfo=datetime.timezone.utc))
    '2030-01-31T12:00:00Z'
    """
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
