"""Renders of a head at exactly known pose, named `yaw+YY_pitch+PP.png`."""

import re
from pathlib import Path

from sdaug.face.photo import read_photo
from sdaug.types import Photo, Pose

_NAME = re.compile(r"yaw([+-]\d+)_pitch([+-]\d+)\.png")


def read_views(folder: Path) -> dict[Pose, Photo]:
    """Every view in a folder by its pose, sorted; raises FileNotFoundError if there are none or no frontal one."""
    views = {}
    for path in sorted(folder.glob("*.png")):
        match = _NAME.fullmatch(path.name)
        if match:
            views[Pose(float(match[1]), float(match[2]))] = read_photo(path)
    if Pose(0, 0) not in views or len(views) < 2:
        raise FileNotFoundError(f"{folder} holds {len(views)} views; expected yaw+00_pitch+00.png and turned ones")
    return views
