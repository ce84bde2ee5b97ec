"""Bytes that somebody damaged or made up: a photo, or PhotoError, and nothing else."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sdaug.service.names import national_id, person_name
from sdaug.service.pictures import check_end, check_name, sniff
from sdaug.service.work.decoding import decode_upload
from sdaug.types import Photo, PhotoError, Reason


def encoded(kind: str, **options) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


WHOLE = {
    "jpeg": encoded("JPEG"),
    "progressive jpeg": encoded("JPEG", progressive=True),
    "png": encoded("PNG"),
    "webp": encoded("WEBP"),
    "lossless webp": encoded("WEBP", lossless=True),
}


@pytest.mark.parametrize("what", WHOLE)
def test_whole_pictures_are_read(what):
    photo = decode_upload(WHOLE[what], 10_000)
    assert photo.pixels.shape == (40, 48, 3) and photo.name is None


@pytest.mark.parametrize("what", WHOLE)
def test_every_cut_is_noticed(what):
    for end in range(len(WHOLE[what])):
        with pytest.raises(PhotoError):
            decode_upload(WHOLE[what][:end], 10_000)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12),
    st.binary(max_size=40),
)
def test_damaged_pictures_are_a_photo_or_refused(what, changes, tail):
    data = bytearray(WHOLE[what])
    for at, value in changes:
        data[at % len(data)] = value
    try:
        found = decode_upload(bytes(data) + tail, 10_000)
    except PhotoError as error:
        assert str(error)
    else:
        assert isinstance(found, Photo) and found.pixels.size <= 30_000


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b""]), st.binary(max_size=200))
def test_made_up_bytes_are_refused(start, rest):
    with pytest.raises(PhotoError):
        decode_upload(start + rest, 10_000)


def test_pixels_are_counted_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr("sdaug.service.work.decoding.decode_photo", lambda data: pytest.fail("decoded"))
    with pytest.raises(PhotoError) as told:
        decode_upload(WHOLE["png"], 40 * 48 - 1)
    assert told.value.reason is Reason.TOO_LARGE


def test_a_phone_s_second_picture_behind_a_jpeg_is_no_polyglot():
    check_end(WHOLE["jpeg"] + WHOLE["jpeg"], "JPEG")
    for mark in (b"PK\x03\x04", b"%PDF-1.7", b"<HTML>", b"<?PHP", b"\x7fELF"):
        with pytest.raises(PhotoError, match="another kind of file"):
            check_end(WHOLE["jpeg"] + b"..." + mark, "JPEG")


@settings(max_examples=200)
@given(st.text(max_size=300))
def test_file_names_are_plain_or_refused(name):
    try:
        check_name(name, "PNG")
    except PhotoError:
        return
    assert not set(name) & set("/\\:\0\n\u202e") and len(name) <= 255


@settings(max_examples=300)
@given(st.text(max_size=120))
def test_a_name_that_is_taken_is_taken_again_as_it_is_and_holds_no_markup(text):
    try:
        name = person_name(text)
    except ValueError as error:
        assert len(text) < 4 or text not in str(error)
        return
    assert person_name(name) == name and not set(name) & set('<>&";()/\\%=\0\n\u202e')


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_a_national_id_is_letters_and_digits(text):
    try:
        plain = national_id(text)
    except ValueError:
        return
    assert plain.isascii() and plain.isalnum() and plain == plain.upper() and national_id(plain) == plain


def test_what_is_sniffed():
    assert [sniff(WHOLE[what]) for what in WHOLE] == ["JPEG", "JPEG", "PNG", "WEBP", "WEBP"]
