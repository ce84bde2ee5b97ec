"""What of people may leave their machine in a log: everything, or nothing that says who they are."""

import json
from collections.abc import Mapping
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
        if self.everything:
            return content
        if isinstance(content, Mapping):
            return {self.hidden(key): self.hidden(value) for key, value in content.items()}
        if isinstance(content, (list, tuple)):
            return [self.hidden(value) for value in content]
        return self._hidden_text(content) if isinstance(content, str) else content

    def notebook(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """An executed notebook's content with every name in it, wherever it stands, hidden in the same way."""
        text = json.dumps(content)
        for number, name in enumerate(dict.fromkeys(self.names), 1) if not self.everything else ():
            text = text.replace(json.dumps(name)[1:-1], f"person {number}")
        return json.loads(text)

    def _hidden_text(self, text: str) -> str:
        for number, name in enumerate(dict.fromkeys(self.names), 1):
            if text == name or Path(text).stem == name:
                return f"person {number}"
        return text
