"""One photo of a person in, the same person at up to ten head poses out: measured, judged and packed for enrolment."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdaug.augmentor import GenerativeAugmentor as GenerativeAugmentor

__all__ = ["GenerativeAugmentor"]


def __getattr__(name: str) -> Any:
    """Imports GenerativeAugmentor when it is first asked for, so that `import sdaug` stays light."""
    if name == "GenerativeAugmentor":
        from sdaug.augmentor import GenerativeAugmentor

        return GenerativeAugmentor
    raise AttributeError(f"module 'sdaug' has no attribute {name!r}")
