"""A plug-in is a file in a package folder: its name in YAML is the file's, its one class is its own frozen config."""

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from sdaug.config import nearest


class PluginError(ValueError):
    """An unknown plug-in, or an option it does not have or does not accept. The message says what exists."""


def names(package: str) -> list[str]:
    """The plug-ins of a package such as `"sdaug.levers"`, sorted: its files. Nothing but the package is imported.

    >>> "precision" in names("sdaug.levers")
    True
    """
    folder = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(folder) if not m.ispkg and not m.name.startswith("_"))


def load(package: str, name: str, options: dict[str, Any] | None = None) -> Any:
    """The plug-in `name` of `package`, configured by `options` (none: its defaults). Raises `PluginError`.

    >>> load("sdaug.levers", "precision", {"dtype": "bfloat16"})
    Precision(dtype='bfloat16')
    """
    configured = plugin(package, name)
    try:
        return configured(**(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            problem = f"unknown option {option!r}; {nearest(option, list(configured.model_fields))}"
        else:
            problem = f"option {option!r} is {first['input']!r}: {first['msg']}"
        raise PluginError(f"{_kind(package)} {name!r}: {problem}") from error


@functools.cache
def plugin(package: str, name: str) -> Any:
    """The class of the plug-in `name` of `package`. Raises `PluginError`.

    >>> plugin("sdaug.levers", "precision").__name__
    'Precision'
    """
    known = names(package)
    if name not in known:
        raise PluginError(f"unknown {_kind(package)} {name!r}; {nearest(name, known)}")
    return _final_class(f"{package}.{name}", _abstract_class(package))


def _kind(package: str) -> str:
    """What the plug-ins of a package are called, from its abstract class's name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _abstract_class(package).__name__.removeprefix("Abstract")).lower()


def _abstract_class(package: str) -> type:
    return _only(package, lambda c: c.__name__.startswith("Abstract"), "class whose name begins with 'Abstract'")


def _final_class(module: str, abstract: type) -> type:
    return _only(module, lambda c: issubclass(c, abstract), f"public class derived from {abstract.__name__}")


def _only(module: str, wanted: Callable[[type], bool], what: str) -> type:
    classes = [
        c
        for _, c in inspect.getmembers(importlib.import_module(module), inspect.isclass)
        if c.__module__ == module and not c.__name__.startswith("_") and wanted(c)
    ]
    if len(classes) != 1:
        found = ", ".join(c.__name__ for c in classes) or "none"
        raise PluginError(f"{module} must define exactly one {what}; found: {found}")
    return classes[0]
