"""What of people may leave their machine in a log: everything, or nothing that says who they are."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Shown:
    """everything: nothing is hidden. names: everybody's, in the order that numbers them; one may come twice."""

    everything: bool
    names: tuple[str, ...]

    def hidden(self, content: Any) -> Any:
        """JSON-able content with each person's name, alone or in a path, put as person 1, 2 ..., unless all is shown.

        >>> Shown(False, ("ada", "bea")).hidden({"photo": "faces/bea.png", "of": ["ada", 1]})
        {'photo': 'person 2', 'of': ['person 1', 1]}
        """
        return content if self.everything else _each_text(content, self._hidden_text)

    def anywhere(self, content: Any) -> Any:
        """JSON-able content, as an executed notebook's, without any name that stands in a text as a word of its own.

        >>> Shown(False, ("ada", "bea")).anywhere({"source": "turn('bea') # in Canada"})
        {'source': "turn('person 2') # in Canada"}
        """
        return content if self.everything else _each_text(content, lambda text: without_names(text, self.names))

    def _hidden_text(self, text: str) -> str:
        for number, name in enumerate(dict.fromkeys(self.names), 1):
            if text == name or Path(text).stem == name:
                return f"person {number}"
        return text


def _each_text(content: Any, change: Callable[[str], str]) -> Any:
    """JSON-able content with every text in it changed, keys too."""
    if isinstance(content, Mapping):
        return {_each_text(key, change): _each_text(value, change) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_each_text(value, change) for value in content]
    return change(content) if isinstance(content, str) else content


def without_names(text: str, names: Sequence[str]) -> str:
    """`text` with every name that stands there as a word of its own put as person 1, 2 ..., in the order of `names`.

    >>> without_names("no face in people/ada-lou.png; Canada", ["ada", "ada-lou"])
    'no face in people/person 2.png; Canada'
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    # In one go, the longest first: neither is a name found within another, nor within what stands for one.
    found = "|".join(re.escape(name) for name in sorted(numbers, key=len, reverse=True) if name)
    return re.sub(rf"(?<!\w)(?:{found})(?!\w)", lambda it: f"person {numbers[it[0]]}", text) if found else text
