"""Makes `docs/images/transitions.jpg` (the astronaut turned in steps of five degrees) and prints what was measured."""

from pathlib import Path

import numpy as np
from PIL import Image

from sdaug.evaluation.truth.transitions import PITCHES, YAWS, strip_picture, turned_strip, worst_flicker
from sdaug.face.photo import read_photo
from sdaug.packs import load_pack
from sdaug.photos import photo_path
from sdaug.synthesis.stage import set_stage

OUT = Path(__file__).parent.parent / "docs/images/transitions.jpg"
SIDE = 96


def main() -> None:
    pack = load_pack("embedded")
    photo = read_photo(photo_path("astronaut"))
    face = pack.largest(photo.pixels)
    assert face is not None
    stage = set_stage(photo, face, pack.mesh)
    rows = []
    for axis, poses in (("yaw_deg", YAWS), ("pitch_deg", PITCHES)):
        strip = turned_strip(stage, poses, pack)
        found = [getattr(pose, axis) for pose in strip.measured if pose is not None]
        steps = np.diff(found)
        print(f"{axis}: {len(found)} of {len(poses)} read, steps {steps.min():.1f} to {steps.max():.1f} degrees,")
        print(f"  worst flicker {worst_flicker(strip.images):.2f} times the median second difference")
        rows.append(strip_picture(strip, SIDE))
    sheet = np.full((SIDE * 2, max(row.shape[1] for row in rows), 3), 255, np.uint8)
    for i, row in enumerate(rows):
        left = (sheet.shape[1] - row.shape[1]) // 2
        sheet[i * SIDE : (i + 1) * SIDE, left : left + row.shape[1]] = row
    Image.fromarray(sheet).save(OUT, quality=86)


if __name__ == "__main__":
    main()
