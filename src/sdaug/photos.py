"""Photos by name: a file, or the one real photo every installation has."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What a file is called that is taken for a photo in a folder of them."""

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


def photos_in(folder: str | Path) -> list[Path]:
    """The photos in `folder`, by name. Raises FileNotFoundError for no folder, or one without any."""
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"{str(folder)!r} is no folder; expected one with a photo of each person")
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(f"there is no photo in {str(folder)!r}; expected files called {', '.join(SUFFIXES)}")
    return found


def one_each(photos: Sequence[Path]) -> Sequence[Path]:
    """`photos` themselves. Raises ValueError naming those that differ in their endings alone: whose is whose?

    >>> one_each([Path("ada.jpg"), Path("ada.png"), Path("bea.jpg")])
    Traceback (most recent call last):
    ValueError: ada.jpg and ada.png are of one name; expected one photo a person
    """
    names = [photo.stem for photo in photos]
    twice = [photo.name for photo in photos if names.count(photo.stem) > 1]
    if twice:
        raise ValueError(f"{' and '.join(twice)} are of one name; expected one photo a person")
    return photos
