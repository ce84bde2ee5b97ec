"""Reading what cameras and editors write: upright 8-bit RGB, or a refusal with its reason, never anything else."""

import hashlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sdaug.face.photo import MAX_PIXELS, decode_photo, photo_from_array, read_photo
from sdaug.photos import photo_path
from sdaug.types import PhotoError, Reason

COLOURS = np.array([[(250, 10, 20), (10, 240, 30)], [(20, 30, 230), (200, 200, 10)], [(0, 0, 0), (255, 255, 255)]])
PICTURE = COLOURS.astype(np.uint8).repeat(16, 0).repeat(16, 1)
"""(48, 32, 3): six fields of 16 px, all different, so that no turn or flip leaves it as it is."""

ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""How the sensor's picture lies in the file so that its EXIF orientation makes it upright (EXIF 2.3, tag 274)."""


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(data: bytes) -> PhotoError:
    with pytest.raises(PhotoError) as refused:
        decode_photo(data)
    assert str(refused.value)
    return refused.value


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels: decoding it must fail, so a refusal comes from the header."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_the_exact_pixels(kind):
    data = encoded(Image.fromarray(PICTURE), kind, **({"lossless": True} if kind == "WEBP" else {}))
    photo = decode_photo(data, "a.bin")
    assert np.array_equal(photo.pixels, PICTURE) and photo.pixels.dtype == np.uint8
    assert photo.sha256 == hashlib.sha256(data).hexdigest() and photo.name == "a.bin"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", ORIENTED)
def test_every_exif_orientation_comes_out_upright(orientation, kind):
    stored = Image.fromarray(np.ascontiguousarray(ORIENTED[orientation](PICTURE)))
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    pixels = decode_photo(encoded(stored, kind, exif=exif, **options)).pixels
    assert pixels.shape == PICTURE.shape
    assert np.abs(pixels.astype(int) - PICTURE).mean() < (3 if kind == "JPEG" else 1e-9)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_over_mid_grey(mode):
    image = Image.fromarray(PICTURE).convert(mode)
    alpha = np.full(PICTURE.shape[:2], 255, np.uint8)
    alpha[:16], alpha[16:32] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    pixels = decode_photo(encoded(image)).pixels
    opaque = np.asarray(image.convert(mode[:-1]).convert("RGB")).astype(float)
    assert (pixels[:16] == 127).all()
    assert np.abs(pixels[16:32] - (opaque[16:32] * 128 + 127 * 127) / 255).max() <= 1
    assert np.array_equal(pixels[32:], opaque[32:])


def test_a_palette_with_transparency():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 10, 200, 30, 0, 0, 255])
    image.paste(0, (0, 0, 8, 4))
    pixels = decode_photo(encoded(image, transparency=0)).pixels
    assert (pixels[:4] == 127).all() and (pixels[4:] == (10, 200, 30)).all()


@pytest.mark.parametrize("top", [65535, 4095])
def test_sixteen_bits_become_eight(top):
    ramp = np.linspace(0, top, 256).astype(np.uint16)[None].repeat(8, 0)
    pixels = decode_photo(encoded(Image.fromarray(ramp))).pixels
    assert pixels.shape == (8, 256, 3) and np.abs(pixels[0, :, 0] - ramp[0] / 257).max() <= 1


def test_grey_and_black_and_white():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    assert np.array_equal(decode_photo(encoded(Image.fromarray(grey))).pixels, grey[..., None].repeat(3, 2))
    bits = Image.fromarray(grey > 100)
    assert set(np.unique(decode_photo(encoded(bits)).pixels)) == {0, 255}


def test_cmyk_has_the_colours_of_its_rgb():
    pixels = decode_photo(encoded(Image.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=95)).pixels
    assert np.abs(pixels.astype(int) - PICTURE).mean() < 6


def test_a_colour_profile_is_applied():
    """A profile whose red and blue primaries have changed places turns a stored red into blue."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    pixels = decode_photo(encoded(Image.fromarray(PICTURE), icc_profile=swapped)).pixels
    assert np.abs(pixels.astype(int) - PICTURE[..., ::-1]).max() <= 2
    assert np.array_equal(decode_photo(encoded(Image.fromarray(PICTURE), icc_profile=srgb)).pixels, PICTURE)
    assert refusal(encoded(Image.fromarray(PICTURE), icc_profile=b"nonsense")).reason is Reason.UNREADABLE


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "MPO"])
def test_a_multi_picture_file_gives_its_first(kind):
    """MPO is what many phones write under the name .jpg."""
    second = Image.new("RGB", (32, 48), (1, 2, 3))
    options = {"quality": 95, "subsampling": 0} if kind == "MPO" else {}
    data = encoded(Image.fromarray(PICTURE), kind, save_all=True, append_images=[second], **options)
    assert np.abs(decode_photo(data).pixels.astype(int) - PICTURE).mean() < (3 if kind == "MPO" else 1e-9)


# -- refusals


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_file_is_unreadable(kind, share, astronaut):
    data = encoded(Image.fromarray(astronaut.pixels), kind)
    assert refusal(data[: int(len(data) * share)]).reason is Reason.UNREADABLE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.UNREADABLE),
        (b"this is a text, whatever its name says\n" * 20, Reason.UNSUPPORTED),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", Reason.UNSUPPORTED),
        (b"%PDF-1.4\n", Reason.UNSUPPORTED),
        (encoded(Image.new("P", (64, 64)), "GIF"), Reason.UNSUPPORTED),
        (encoded(Image.new("RGB", (64, 64)), "ICO"), Reason.UNSUPPORTED),
        (encoded(Image.new("RGB", (64, 64)), "EPS"), Reason.UNSUPPORTED),
    ],
    ids=["empty", "text", "svg", "pdf", "gif", "ico", "eps"],
)
def test_what_is_no_photo_is_refused(data, reason):
    assert refusal(data).reason is reason


def test_the_name_decides_nothing(tmp_path):
    (tmp_path / "text.jpg").write_text("not a photo")
    (tmp_path / "photo.txt").write_bytes(encoded(Image.fromarray(PICTURE)))
    with pytest.raises(PhotoError, match="expected one of JPEG, PNG"):
        read_photo(tmp_path / "text.jpg")
    assert np.array_equal(read_photo(tmp_path / "photo.txt").pixels, PICTURE)


@pytest.mark.parametrize("size", [(30_000, 30_000), (13_000, 12_000), (2**31 - 1, 1)])
def test_a_huge_picture_is_refused_by_its_header(size):
    error = refusal(png_of_size(*size))
    assert error.reason is Reason.TOO_LARGE and str(MAX_PIXELS) in str(error)


def test_a_picture_just_within_the_limit_is_not_called_too_large():
    assert refusal(png_of_size(15_000, 10_000)).reason is Reason.UNREADABLE


@pytest.fixture(scope="module")
def small_files():
    exif = Image.Exif()
    exif[274] = 6
    picture = Image.fromarray(PICTURE)
    return [encoded(picture, kind, exif=exif) for kind in ("JPEG", "PNG", "TIFF", "WEBP")] + [encoded(picture, "BMP")]


@hypothesis_settings(max_examples=150, deadline=None, derandomize=True)
@given(which=st.integers(0, 4), changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8))
def test_damaged_bytes_give_a_photo_or_a_refusal(small_files, which, changes):
    data = bytearray(small_files[which])
    for place, value in changes:
        data[place % min(len(data), 400)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels = decode_photo(bytes(data)).pixels
        except PhotoError as error:
            assert error.reason in (Reason.UNREADABLE, Reason.UNSUPPORTED, Reason.TOO_LARGE)
        else:
            assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8


def test_an_array_is_named_by_its_pixels():
    photo = photo_from_array(PICTURE)
    assert np.array_equal(photo.pixels, PICTURE)
    assert photo.sha256 == photo_from_array(PICTURE.copy()).sha256 != photo_from_array(PICTURE[::-1].copy()).sha256


def test_a_photo_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert photo_path("astronaut").name == "astronaut.png" and photo_path("astronaut").is_file()
    with pytest.raises(FileNotFoundError, match="'astronot' does not exist.*'astronaut'"):
        photo_path("astronot")
    (tmp_path / "astronaut").write_bytes(b"mine")
    assert photo_path("astronaut").read_bytes() == b"mine"
