"""Levers: what is done to a loaded pipeline before it runs, one optimisation a file."""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from sdaug.config import Config


class LeverSkipped(Exception):
    """The lever cannot apply to this pipeline on this machine; the message is the reason. A result, not a fault."""


class AbstractLever(Config, ABC):
    """Base of every lever: a frozen config that changes a diffusers pipeline in place, once, and is never undone.

    docs: the lever's docstring without indentation; it must say what the lever trades.
    """

    docs: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls.docs = inspect.cleandoc(cls.__doc__ or "")

    @abstractmethod
    def apply(self, pipe: Any) -> None:
        """Change `pipe`, which is already on its device. Raises `LeverSkipped` where the lever does not apply."""
