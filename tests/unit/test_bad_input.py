"""Photos that are not portraits of a file format's dream: each is turned, or refused with its reason."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from sdaug.choice import usable
from sdaug.face.photo import decode_photo, photo_from_array, read_photo
from sdaug.synthesis.warp import turn
from sdaug.types import PhotoError, Pose, Reason

SKIN, DARK = (205, 150, 120), (20, 18, 18)
EYES, LIPS = ((33, 133), (362, 263)), (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
JAW = (
    234,
    93,
    132,
    58,
    172,
    136,
    150,
    149,
    176,
    148,
    152,
    377,
    400,
    378,
    379,
    365,
    397,
    288,
    361,
    323,
    454,
    425,
    2,
    205,
)


def turned(warp, image: np.ndarray, num_angles: int = 2):
    """The record of `image` (H, W, 3) uint8 RGB; whatever is refused in it must say why."""
    record = warp.augment(photo_from_array(image), num_angles=num_angles)
    for angle in record.angles:
        assert (angle.image is None) == bool(angle.judgement.reasons), angle.requested
    return record


def refusal(warp, image: np.ndarray) -> PhotoError:
    with pytest.raises(PhotoError) as refused:
        warp.augment(photo_from_array(image), num_angles=1)
    return refused.value


def at(face, *landmarks: int) -> np.ndarray:
    """Mean place of landmarks, (2,) pixels."""
    return face.landmarks[list(landmarks), :2].mean(0)


def glasses(image: np.ndarray, face, thickness: int) -> np.ndarray:
    """Frames, or with thickness -1 dark lenses."""
    worn = image.copy()
    for pair in EYES:
        x, y = at(face, *pair)
        cv2.ellipse(worn, (int(x), int(y)), (17, 12), 0, 0, 360, DARK, thickness)
    cv2.line(worn, at(face, 133).astype(int).tolist(), at(face, 362).astype(int).tolist(), DARK, 3)
    return worn


def beard(image: np.ndarray, face) -> np.ndarray:
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [face.landmarks[list(JAW), :2].astype(np.int32)], 1)
    cv2.fillPoly(mask, [face.landmarks[list(LIPS), :2].astype(np.int32)], 0)
    hair = np.random.default_rng(0).integers(20, 70, (*mask.shape, 1), dtype=np.uint8)
    return np.where(mask[..., None] > 0, hair, image)


def covered(image: np.ndarray, face, half_axes: tuple[int, int], shift: tuple[int, int]) -> np.ndarray:
    """A hand, as an ellipse of skin before the nose."""
    x, y = at(face, 1) + shift
    return np.asarray(cv2.ellipse(image.copy(), (int(x), int(y)), half_axes, 0, 0, 360, SKIN, -1))


# -- what is in the picture


@pytest.mark.parametrize("thickness", [3, -1], ids=["frames", "dark lenses"])
def test_glasses_turn_with_the_head(thickness, warp, astronaut, astronaut_face):
    record = turned(warp, glasses(astronaut.pixels, astronaut_face, thickness), 7)
    assert len(record.accepted) >= 6
    for angle in (record.angles[0], record.angles[5], record.angles[6]):
        assert angle.accepted
        face = warp.pack.largest(angle.image)
        bridge = at(face, 168, 6, 133, 362).astype(int)
        around = angle.image[bridge[1] - 25 : bridge[1] + 25, bridge[0] - 45 : bridge[0] + 45]
        assert (around.max(2) < 70).mean() > 0.04, "the frame is still on the nose"


def test_a_beard_turns_with_the_head(warp, astronaut, astronaut_face):
    record = turned(warp, beard(astronaut.pixels, astronaut_face), 6)
    for angle in (record.angles[0], record.angles[5]):
        assert angle.accepted, angle.judgement.reasons
        lower = angle.image[256:420, 170:350]
        bearded = (lower.max(2) < 80).mean()
        assert bearded > 0.25, "the face is 256 px high about row 270"


@pytest.mark.parametrize(
    ("half_axes", "shift", "all_kept"),
    [((32, 24), (0, 42), True), ((32, 62), (25, 0), False)],
    ids=["mouth", "half of the face"],
)
def test_a_hand_before_the_face_is_turned_or_refused_angle_by_angle(
    half_axes, shift, all_kept, warp, astronaut, astronaut_face
):
    image = covered(astronaut.pixels, astronaut_face, half_axes, shift)
    record = turned(warp, image, 5)
    assert all(angle.accepted for angle in record.angles) == all_kept


def test_a_face_behind_a_hand_is_no_face(warp, astronaut, astronaut_face):
    assert refusal(warp, covered(astronaut.pixels, astronaut_face, (62, 80), (0, -8))).reason is Reason.NO_FACE


@pytest.mark.parametrize("roll", [30, -30])
def test_a_tilted_head_is_set_upright(roll, warp, astronaut, astronaut_face):
    x, y = at(astronaut_face, 1)
    place = cv2.getRotationMatrix2D((float(x), float(y)), roll, 1)
    image = cv2.warpAffine(astronaut.pixels, place, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    record = turned(warp, image, 2)
    own = astronaut_face.pose
    found = record.source["pose"]
    assert abs(found.roll_deg - own.roll_deg - roll) < 4
    assert abs(found.yaw_deg - own.yaw_deg) < 4 and abs(found.pitch_deg - own.pitch_deg) < 4
    for angle in record.angles:
        assert angle.accepted and abs(angle.judgement.measured.roll_deg) < 10


@pytest.mark.parametrize("yaw", [60, -60])
def test_a_head_turned_too_far_is_refused_with_its_angle(yaw, warp, stage):
    error = refusal(warp, turn(stage, Pose(yaw, 0)).image)
    assert error.reason in (Reason.EXTREME_POSE, Reason.NO_FACE)
    if error.reason is Reason.EXTREME_POSE:
        assert "the limit is" in str(error) or "could not be read" in str(error)


@pytest.mark.parametrize("pose", [Pose(0, 40), Pose(0, -40), Pose(40, 0)])
def test_a_head_beyond_the_limits_is_refused_with_its_angle_and_the_limit(pose, astronaut_face):
    with pytest.raises(PhotoError, match="by -?40 degrees; the limit is 35") as error:
        usable(replace(astronaut_face, pose=pose), 60)
    assert error.value.reason is Reason.EXTREME_POSE
    assert usable(replace(astronaut_face, pose=Pose(34, -34)), 60).pose == Pose(34, -34)


@pytest.mark.parametrize("subject", ["t03", "t15"])
def test_a_profile_is_refused(subject, warp, faces):
    image = read_photo(faces / "turning" / f"{subject}_00.png").pixels
    error = refusal(warp, cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
    assert error.reason in (Reason.EXTREME_POSE, Reason.NO_FACE)


# -- how large it is


@pytest.mark.parametrize("side", [20, 40, 58])
def test_a_face_below_60_px_is_too_small(side, warp, astronaut, astronaut_face):
    share = side / (astronaut_face.box[2] - astronaut_face.box[0])
    small = cv2.resize(astronaut.pixels, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    error = refusal(warp, small)
    assert error.reason is Reason.FACE_TOO_SMALL and "at least 60 px" in str(error)


def test_a_photo_12000_px_wide_is_read_and_turned(warp, astronaut, astronaut_face):
    """96 million pixels, as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(astronaut.pixels).resize((12_000, 12_000)).crop((0, 0, 12_000, 6000)).save(buffer, "JPEG")
    photo = decode_photo(buffer.getvalue())
    assert photo.pixels.shape == (6000, 12_000, 3)
    record = warp.augment(photo, num_angles=1)
    assert record.angles[0].accepted and record.angles[0].image.shape == (512, 512, 3)
    assert abs(record.source["pose"].yaw_deg - astronaut_face.pose.yaw_deg) < 3
    assert record.source["width_px"] == 12_000


# -- how it is stored


def stored(image: Image.Image, kind: str, **options) -> np.ndarray:
    """`image` written as a file of one kind and read back the way every photo is."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return decode_photo(buffer.getvalue()).pixels


def exif_rotated(picture: Image.Image) -> np.ndarray:
    exif = Image.Exif()
    exif[274] = 6
    return stored(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def sixteen_bit(picture: Image.Image) -> np.ndarray:
    return stored(Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257), "PNG")


STORED = {
    "grey": lambda picture: stored(picture.convert("L"), "PNG"),
    "16-bit": sixteen_bit,
    "RGBA": lambda picture: stored(picture.convert("RGBA"), "PNG"),
    "CMYK": lambda picture: stored(picture.convert("CMYK"), "JPEG", quality=95),
    "EXIF-rotated": exif_rotated,
}


@pytest.mark.parametrize("kind", STORED)
def test_every_way_to_store_the_photo_gives_the_same_turned_head(kind, warp, astronaut, astronaut_face, views):
    record = turned(warp, STORED[kind](Image.fromarray(astronaut.pixels)), 2)
    found, own = record.source["pose"], astronaut_face.pose
    assert abs(found.yaw_deg - own.yaw_deg) < 2 and abs(found.pitch_deg - own.pitch_deg) < 3
    for angle, view in zip(record.angles, views, strict=False):
        assert angle.accepted, angle.judgement.reasons
        grey, expected = (cv2.cvtColor(i, cv2.COLOR_RGB2GRAY).astype(int) for i in (angle.image, view.image))
        assert np.abs(grey - expected).mean() < 6, "of 0..255: same head, same place"
        if kind in ("grey", "16-bit"):
            assert np.ptp(angle.image.astype(int), axis=2).max() <= 4, "no colour is invented"
