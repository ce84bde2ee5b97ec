"""How often: a bucket of tokens for each client, refilled evenly."""

import math
import time
from collections.abc import Callable


class Limiter:
    """At most `per_minute` takings by one name in any minute or so. clock: seconds, rising."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self._rate, self._most, self._clock = per_minute / 60, float(per_minute), clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> int:
        """0 if `name` may go on, else the seconds after which it may."""
        left = self._left(name)
        if left < 1:
            return max(1, math.ceil((1 - left) / self._rate))
        self._buckets[name] = left - 1, self._clock()
        self._forget()
        return 0

    def blocked(self, name: str) -> int:
        """What `take` would say, without taking."""
        left = self._left(name)
        return 0 if left >= 1 else max(1, math.ceil((1 - left) / self._rate))

    def _left(self, name: str) -> float:
        left, since = self._buckets.get(name, (self._most, 0.0))
        return min(self._most, left + (self._clock() - since) * self._rate)

    def _forget(self) -> None:
        """Full buckets need not be kept."""
        if len(self._buckets) > 4096:
            self._buckets = {name: kept for name, kept in self._buckets.items() if self._left(name) < self._most}
