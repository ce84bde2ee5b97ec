"""Which face of a photo is turned, or why none of them can be."""

from collections.abc import Sequence

from sdaug.packs import clear
from sdaug.types import Face, PhotoError, Reason

MAX_SOURCE_YAW_DEG = 35.0
"""Beyond this the far half of the face was never seen."""

MAX_SOURCE_PITCH_DEG = 35.0
"""Beyond this the camera saw the underside of the nose, or the crown, instead of the face."""


def choose_face(found: Sequence[Face], which: int | str | None, min_side_px: float) -> tuple[Face, bool]:
    """The face to turn among all that were `found` in a photo, and whether it is the only one.

    which: an index from the left, "largest", or None, which refuses a photo of several. min_side_px: of the face's box.
    Raises ValueError for another `which`, and PhotoError (`no_face, multiple_faces, face_too_small,
    extreme_source_pose`) naming why there is none.
    """
    if isinstance(which, bool) or not (which is None or isinstance(which, int) or which == "largest"):
        raise ValueError(f"face must be an index or 'largest', got {which!r}")
    faces = sorted(clear(found) or found, key=lambda f: f.box[0])
    if not faces:
        raise PhotoError(Reason.NO_FACE, "no face was found in the photo; expected one face, looking at the camera")
    if which is None and len(faces) > 1:
        boxes = ", ".join(f"{i}: {_box_text(f)}" for i, f in enumerate(faces))
        raise PhotoError(
            Reason.MULTIPLE_FACES, f"{len(faces)} faces were found, choose one by index or 'largest' ({boxes})"
        )
    if isinstance(which, int) and not 0 <= which < len(faces):
        raise PhotoError(Reason.NO_FACE, f"face {which} does not exist; the photo has faces 0 to {len(faces) - 1}")
    face = faces[which] if isinstance(which, int) else max(faces, key=lambda f: f.area)
    return usable(face, min_side_px), len(faces) == 1


def usable(face: Face, min_side_px: float) -> Face:
    """`face`, unless it is too small, unreadable or turned too far to be a source: PhotoError."""
    side = min(face.box[2] - face.box[0], face.box[3] - face.box[1])
    if side < min_side_px:
        raise PhotoError(
            Reason.FACE_TOO_SMALL, f"the face is {side:.0f} px wide or high; at least {min_side_px:.0f} px needed"
        )
    if face.landmarks is None or face.pose is None:
        raise PhotoError(
            Reason.EXTREME_POSE, "the face's landmarks could not be read; expected a face towards the camera"
        )
    for what, angle, limit in (
        ("turned", face.pose.yaw_deg, MAX_SOURCE_YAW_DEG),
        ("raised or lowered", face.pose.pitch_deg, MAX_SOURCE_PITCH_DEG),
    ):
        if abs(angle) > limit:
            raise PhotoError(
                Reason.EXTREME_POSE, f"the head is {what} by {angle:.0f} degrees; the limit is {limit:.0f}"
            )
    return face


def _box_text(face: Face) -> str:
    return f"x {face.box[0]:.0f}-{face.box[2]:.0f}, y {face.box[1]:.0f}-{face.box[3]:.0f}"
