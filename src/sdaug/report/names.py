"""Who may be named: everybody, or nobody."""

from dataclasses import dataclass

from sdaug.results import Sweep
from sdaug.shown import without_names


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
        return text if self.shown else without_names(text, self.people)
