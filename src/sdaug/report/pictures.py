"""The image grid, person by angle by setting: small WebP pictures cut from the cells' contact sheets."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdaug.contact import TILE
from sdaug.results import Sweep
from sdaug.shown import Shown

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE_PX = 104
QUALITY = 60

MOST = 4_000
"""Pictures on a page. People are shown in the sweep's order as long as no more come together, but at least one; 200
cells of 10 angles with a raw and a final image each are just as many (`python -m sdaug.soak --only report_size`)."""


@dataclass(frozen=True)
class Picture:
    """data: WebP in base64, empty where there is no image. told: what became of it. alt: the same for those who cannot
    see it, with whose picture it is."""

    data: str
    told: str
    alt: str
    accepted: bool


@dataclass(frozen=True)
class Row:
    """One setting of a person: for each pose of the block its pictures, none where that pose was not asked for."""

    key: str
    poses: tuple[tuple[Picture, ...], ...]


@dataclass(frozen=True)
class Block:
    """One person and seed."""

    title: str
    source: str
    poses: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Gallery:
    """people: how many are shown, of so many with a finished cell."""

    blocks: tuple[Block, ...]
    people: int
    of: int


def gallery(sweep: Sweep, names: Shown) -> Gallery:
    """The pictures of as many people as `MOST` leaves room for."""
    finished = [result for result in sweep.results if result["status"] == "finished"]
    people = list(dict.fromkeys(result["person"] for result in finished))
    shown: list[str] = []
    room = MOST
    for person in people:
        room -= sum(_pictures_of(result) for result in finished if result["person"] == person)
        if shown and room < 0:
            break
        shown.append(person)
    blocks = []
    for person in shown:
        own = [result for result in finished if result["person"] == person]
        for seed in dict.fromkeys(result["seed"] for result in own):
            cells = [result for result in own if result["seed"] == seed]
            blocks.append(_block(sweep, cells, f"{names.person(person)}, seed {seed}"))
    return Gallery(tuple(blocks), len(shown), len(people))


def _pictures_of(result: Mapping[str, Any]) -> int:
    return sum(1 if angle["raw"] is None else 2 for angle in result["record"]["angles"])


def _block(sweep: Sweep, cells: Sequence[Mapping[str, Any]], title: str) -> Block:
    poses = list(dict.fromkeys(_pose(angle) for cell in cells for angle in cell["record"]["angles"]))
    rows, source = [], ""
    for cell in cells:
        sheet = _sheet(sweep.folder / "cells" / cell["key"] / "contact.png")
        source = source or _tile(sheet, 0, 0)
        found = {}
        for place, angle in enumerate(cell["record"]["angles"], 1):
            found[_pose(angle)] = _pictures(sheet, place, angle, f"{title}, {sweep.name(cell['setting'])}")
        rows.append(Row(cell["setting"], tuple(found.get(pose, ()) for pose in poses)))
    return Block(title, source, tuple(poses), tuple(rows))


def _pictures(sheet: "Image | None", place: int, angle: Mapping[str, Any], whose: str) -> tuple[Picture, ...]:
    """What diffusion made, if it was asked, and what was kept."""
    stages = [] if angle["raw"] is None else [(1, "raw", angle["raw"], "")]
    made = []
    for row, stage, judged, by in [*stages, (0, "final", angle, angle["rung"])]:
        verdict = by or "accepted" if judged["accepted"] else ", ".join(judged["reasons"])
        # Of a refused final image the sheet holds an empty tile.
        data = "" if stage == "final" and not judged["accepted"] else _tile(sheet, row, place)
        alt = f"{whose}, {_pose(angle)}, {stage}: {verdict}"
        made.append(Picture(data, f"{stage}: {verdict.replace('_', ' ')}", alt, judged["accepted"]))
    return tuple(made)


def _pose(angle: Mapping[str, Any]) -> str:
    return "yaw {yaw_deg:+.0f}, pitch {pitch_deg:+.0f}".format(**angle["requested"])


def _sheet(path: Path) -> "Image | None":
    """A cell's contact sheet, None where somebody has removed it."""
    from PIL import Image

    if not path.is_file():
        return None
    with Image.open(path) as sheet:
        return sheet.convert("RGB")


def _tile(sheet: "Image | None", row: int, column: int) -> str:
    """The picture in one place of a contact sheet (`contact.contact_sheet`), smaller."""
    left, top = column * (TILE + 4) + 2, row * (TILE + 36) + 18
    if sheet is None or top + TILE > sheet.height or left + TILE > sheet.width:
        return ""
    tile = sheet.crop((left, top, left + TILE, top + TILE)).resize((SIDE_PX, SIDE_PX))
    buffer = io.BytesIO()
    tile.save(buffer, format="WEBP", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
