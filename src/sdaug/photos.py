"""Photos by name: a file, or the one real photo every installation has."""

from importlib.util import find_spec
from pathlib import Path

BUNDLED = "astronaut"
"""Eileen Collins, NASA, public domain: the portrait inside scikit-image's wheel."""


def photo_path(name: str | Path) -> Path:
    """The file behind a photo's name; `astronaut` is scikit-image's, unless a file of that name exists.

    Raises FileNotFoundError saying what was looked for.
    """
    path = Path(name)
    if path.is_file():
        return path
    if str(name) == BUNDLED:
        spec = find_spec("skimage")
        if spec is not None and spec.submodule_search_locations:
            return Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png"
    raise FileNotFoundError(
        f"photo {str(name)!r} does not exist; expected an image file, or {BUNDLED!r} for the built-in one"
    )
