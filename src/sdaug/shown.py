"""What of people may leave their machine in a log: everything, or nothing that says who they are."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
"""Colours of a traceback, whose last letter would join the word behind it."""

_SHORT_NUMBER = re.compile(r"\d{1,3}")
"""A name that tells nothing more than "person 2" does, and that stands in any text without meaning somebody."""


@dataclass(frozen=True)
class Shown:
    """everything: nothing is hidden. names: everybody's, in the order that numbers them; one may come twice. photos:
    (name, path of a photo of them), as written or made absolute. folder: of all photos. subject: whom a chosen setting
    is to enrol."""

    everything: bool
    names: tuple[str, ...]
    photos: tuple[tuple[str, str], ...] = ()
    subject: str = ""
    folder: str = ""

    @classmethod
    def of(cls, index: Mapping[str, Any], *names: str) -> "Shown":
        """From `sweep.json`; names: of people that it may not know by these."""
        experiment = index["experiment"]
        people = experiment.get("people")
        written = people if isinstance(people, Mapping) else {}
        known = {str(name): str(path) for name, path in index.get("people", {}).items()}
        photos = [*known.items(), *((str(name), str(path)) for name, path in written.items())]
        return cls(
            experiment["log_images"],
            tuple(dict.fromkeys((*known, *names))),
            tuple(photos),
            str(experiment.get("subject") or ""),
            people if isinstance(people, str) else "",
        )

    def and_names(self, *names: str) -> "Shown":
        """The same with further people."""
        return replace(self, names=tuple(dict.fromkeys((*self.names, *names))))

    def and_calls(self, calls: Iterable[Mapping[str, Any]]) -> "Shown":
        """The same with the people of an executed notebook's calls, as `Cell.call` has them."""
        photos = [(str(call["person"]), str(call["photo"])) for call in calls]
        return replace(
            self.and_names(*(name for name, _ in photos)), photos=tuple(dict.fromkeys((*self.photos, *photos)))
        )

    def person(self, name: str) -> str:
        """What a person is called.

        >>> Shown(False, ("ada", "bea")).person("bea"), Shown(True, ("ada", "bea")).person("bea")
        ('person 2', 'bea')
        """
        return name if self.everything else self._called[name]

    def hidden(self, content: Any) -> Any:
        """JSON-able content with each person's name, alone or in a path, put as person 1, 2 ..., unless all is shown.

        >>> Shown(False, ("ada", "bea")).hidden({"photo": "faces/bea.png", "of": ["ada", 1]})
        {'photo': 'person 2', 'of': ['person 1', 1]}
        """
        return content if self.everything else _each_text(content, self._hidden_text)

    def anywhere(self, content: Any) -> Any:
        """JSON-able content, as an executed notebook's, without any name, path or file name of a photo that stands in a
        text as a word of its own; a number of up to three digits only in quotes, in a table's cell, or called a person.

        >>> Shown(False, ("ada", "bea")).anywhere({"source": "turn('bea') # in Canada"})
        {'source': "turn('person 2') # in Canada"}
        >>> Shown(False, ("ada", "s1"), (("s1", "/in/Ada L.png"),)).anywhere("no face in /in/Ada L.png, ada-lou")
        'no face in photo of person 2, person 1-lou'
        >>> Shown(False, ("ada", "5")).anywhere({"person": "5", "source": "turn('5', 5)", "numpy": "1.26.5"})
        {'person': 'person 2', 'source': "turn('person 2', 5)", 'numpy': '1.26.5'}
        """
        return content if self.everything else self._each(_each_text(content, self._without))

    def _each(self, content: Any) -> Any:
        """What is called a person, by that person's number."""
        if isinstance(content, Mapping):
            return {
                key: self._called.get(of, of) if key == "person" and isinstance(of, str) else self._each(of)
                for key, of in content.items()
            }
        return [self._each(of) for of in content] if isinstance(content, (list, tuple)) else content

    @cached_property
    def _called(self) -> dict[str, str]:
        people = dict.fromkeys((*self.names, *(name for name, _ in self.photos)))
        return {name: f"person {number}" for number, name in enumerate(people, 1)}

    @cached_property
    def _instead(self) -> dict[str, str]:
        """What each telling text is replaced by, as it is and as Python and JSON escape it."""
        told = dict(self._called)
        for name, path in self.photos:
            # A bare name of a file is often the person's own: that is replaced as such, and the ending left.
            told |= {path: f"photo of {self._called[name]}"}
            if Path(path).stem not in self._called:
                told[Path(path).name] = "a photo" if Path(path).name in told else f"photo of {self._called[name]}"
        for text, instead in ((self.subject, "subject"), (self.folder, "photos")):
            if text:
                told.setdefault(text, instead)
        escaped = {}
        for text, instead in told.items():
            for one in (text, text.encode("unicode_escape").decode(), json.dumps(text)[1:-1]):
                escaped.setdefault(one, instead)
        return escaped

    @cached_property
    def _telling(self) -> re.Pattern[str] | None:
        # In one go, the longest first: neither is a name found within another, nor within what stands for one.
        texts = sorted(filter(None, self._instead), key=len, reverse=True)
        quoted = r"(?:(?<=[\"']){0}(?=\\?[\"'])|(?<=<td>){0}(?=</td>))"
        found = "|".join(quoted.format(text) if _SHORT_NUMBER.fullmatch(text) else re.escape(text) for text in texts)
        # After an escaped newline or tabulator too, whose letter is no part of a word.
        return re.compile(rf"(?:(?<!\w)|(?<=\\[nrt]))(?:{found})(?!\w)") if found else None

    def _without(self, text: str) -> str:
        return (
            text if self._telling is None else self._telling.sub(lambda it: self._instead[it[0]], _ANSI.sub("", text))
        )

    def _hidden_text(self, text: str) -> str:
        if text in self._instead:
            return self._instead[text]
        return next((called for name, called in self._called.items() if Path(text).stem == name), text)


def without_pictures(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook's content without any output that is or holds an image."""
    content = json.loads(json.dumps(notebook))
    for cell in content["cells"]:
        cell["outputs"] = [output for output in cell.get("outputs", []) if not _pictured(output)]
        if cell["cell_type"] != "code":
            del cell["outputs"]
            cell.pop("attachments", None)
    return content


def _pictured(output: Mapping[str, Any]) -> bool:
    data = output.get("data", {})
    return any(kind.startswith("image/") for kind in data) or "data:image" in json.dumps(output)


def _each_text(content: Any, change: Callable[[str], str]) -> Any:
    """JSON-able content with every text in it changed, keys too."""
    if isinstance(content, Mapping):
        return {_each_text(key, change): _each_text(value, change) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_each_text(value, change) for value in content]
    return change(content) if isinstance(content, str) else content
