"""Who may be named: everybody, or nobody."""

import re
from dataclasses import dataclass

from sdaug.results import Sweep


@dataclass(frozen=True)
class Names:
    """shown: whether people may be shown and named. people: their names, in the sweep's order."""

    shown: bool
    people: tuple[str, ...]

    @classmethod
    def of(cls, sweep: Sweep, shown: bool) -> "Names":
        return cls(shown, tuple(sweep.people))

    def person(self, name: str) -> str:
        """What a person is called on the page.

        >>> Names(False, ("ada", "bea")).person("bea"), Names(True, ("ada", "bea")).person("bea")
        ('person 2', 'bea')
        """
        return name if self.shown else f"person {self.people.index(name) + 1}"

    def text(self, text: str) -> str:
        """`text` without anybody's name, where they must not be named.

        >>> Names(False, ("ada", "bea")).text("no face in people/bea.png; Canada")
        'no face in people/person 2.png; Canada'
        """
        if self.shown:
            return text
        for name in sorted(self.people, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", self.person(name), text)
        return text
