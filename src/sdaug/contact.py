"""Contact sheets: what was asked for, what diffusion made of it, what was kept."""

import cv2
import numpy as np

from sdaug.types import AngleResult, Photo

TILE = 160
_GREY, _INK, _RED = (235, 235, 235), (20, 20, 20), (176, 0, 32)


def contact_sheet(photo: Photo, angles: tuple[AngleResult, ...]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a column an angle; rows: raw diffusion (if any), final image or the refusal's reason."""
    rows = [[_tile(_square(photo.pixels), "source", "")]]
    has_raw = any(angle.raw is not None for angle in angles)
    if has_raw:
        rows.append([_tile(None, "", "")])
    for angle in angles:
        pose = f"yaw {angle.requested.yaw_deg:+.0f} pitch {angle.requested.pitch_deg:+.0f}"
        refusal = "" if angle.accepted else (angle.judgement.reasons or ("",))[0]
        rows[0].append(_tile(angle.image, pose, angle.rung, str(getattr(refusal, "value", refusal))))
        if has_raw:
            raw = angle.raw
            verdict = "" if raw is None or raw.judgement.accepted else raw.judgement.reasons[0].value
            rows[1].append(_tile(None if raw is None else raw.image, "raw diffusion", "", verdict))
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def _square(image: np.ndarray) -> np.ndarray:
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def _tile(image: np.ndarray | None, title: str, note: str, refusal: str = "") -> np.ndarray:
    tile = np.full((TILE + 36, TILE + 4, 3), 255, np.uint8)
    face = tile[18 : 18 + TILE, 2 : 2 + TILE]
    face[:] = _GREY if image is None else cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_AREA)
    cv2.putText(tile, title, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
    below = refusal or note
    cv2.putText(tile, below, (4, TILE + 30), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _RED if refusal else _INK, 1, cv2.LINE_AA)
    return tile
