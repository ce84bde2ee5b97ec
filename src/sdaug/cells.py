"""Cells: one setting on one person with one seed, each with a key that says what its result depends on."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdaug.config import ModelSettings, RunSettings
from sdaug.measure.environment import device_class
from sdaug.measure.source import code_version
from sdaug.packs import pack_files


@dataclass(frozen=True)
class Person:
    """Who is turned. photo: the file's path; sha256: of its content."""

    name: str
    photo: str
    sha256: str


@dataclass(frozen=True)
class Cell:
    """What is run as one piece and never twice.

    key: of the result; setting_key: shared by the cells that differ only in person and seed; load_key: shared by those
    that load the same things. varied: the dotted settings the experiment varies, with this cell's values.
    """

    key: str
    setting_key: str
    load_key: str
    settings: RunSettings
    person: Person
    varied: dict[str, Any]

    @property
    def call(self) -> dict[str, Any]:
        """What the sweep notebook is told of it, JSON-able."""
        return {
            "key": self.key,
            "setting": self.setting_key,
            "person": self.person.name,
            "photo": self.person.photo,
            "generation": self.settings.generation.model_dump(mode="json"),
        }


def cells_of(
    settings: RunSettings, varied: dict[str, Any], people: Sequence[Person], seeds: Sequence[int], how: Sequence[Any]
) -> list[Cell]:
    """The cells of one setting; without `seeds` it runs with its own. how: what else its result depends on: digests of
    what it reads, `weights_digest` of its model and `pack_digest` of its face pack, and how it is run."""
    whole = settings.model_dump(mode="json")
    generation = whole.pop("generation")
    own_seed = generation.pop("seed")
    load = _digest([whole, code_version(), *how, _device_class(settings.model.device)])
    setting = _digest([load, generation])
    made = []
    for seed in seeds or [own_seed]:
        with_seed = settings
        if seed != own_seed:
            with_seed = settings.model_copy(
                update={"generation": settings.generation.model_copy(update={"seed": seed})}
            )
        for person in people:
            made.append(Cell(_digest([setting, seed, person.sha256]), setting, load, with_seed, person, varied))
    return made


def weights_digest(model: ModelSettings) -> str:
    """One digest of all weight files that `model` names, adapters included.

    Raises `WeightsMissing` or `WeightsInvalid` where one is not here, or damaged as far as its header tells.
    """
    from sdaug.diffusion.adapters import find_adapters
    from sdaug.diffusion.weights import locate
    from sdaug.measure.remembered import remembered_sha256

    files = locate(model) | find_adapters(model)
    return _digest({name: remembered_sha256(path) for name, path in files.items()})


def code_digest(notebook: str) -> str:
    """One digest of a notebook's code, whatever stands between it or came of it. Raises FileNotFoundError."""
    content = json.loads(Path(notebook).read_text(encoding="utf-8"))
    return _digest(["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"])


def pack_digest(pack: str) -> str:
    """One digest of all files of a face pack. Raises `PackError` where it is not here."""
    from sdaug.measure.remembered import remembered_sha256

    return _digest({name: remembered_sha256(path) for name, path in pack_files(pack).items()})


def setting_text(value: Any) -> str:
    """A setting's value for people: a lever's options without braces, a lever that is not there as "off".

    >>> setting_text({"slice_size": "max"}), setting_text({}), setting_text(None), setting_text(4)
    ('slice_size max', 'on', 'off', '4')
    """
    if value is None:
        return "off"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "on"
    return str(value)


def short(dotted: str) -> str:
    """A dotted setting without its first part, which only says where it lives.

    >>> short("levers.precision.dtype"), short("backend")
    ('precision.dtype', 'backend')
    """
    return dotted.split(".", 1)[-1]


def named(varied: Mapping[str, Any]) -> str:
    """What a setting varies, in a few words.

    >>> named({"levers.precision.dtype": "float32", "generation.num_inference_steps": 4})
    'precision.dtype float32, num_inference_steps 4'
    """
    return ", ".join(f"{short(name)} {setting_text(value)}" for name, value in varied.items()) or "as it is"


@functools.cache
def _device_class(device: str) -> str:
    return device_class(device)


def _digest(content: Any) -> str:
    """The first 16 hex digits of a SHA-256 over canonical JSON."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
