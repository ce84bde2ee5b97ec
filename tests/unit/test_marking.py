import struct
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdaug.enrolment.marking import CHUNK, decode_png, encode_png, read_marking, write_png

PROVENANCE = {"origin": "generated", "generator": "sdaug-nano", "version": "1", "parent_sha256": "ab" * 32}
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def picture(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def chunks(png: bytes) -> list[bytes]:
    names, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        names.append(png[at + 4 : at + 8])
        at += length + 12
    return names


def saved(image: Image.Image, **options) -> bytes:
    out = BytesIO()
    image.save(out, **{"format": "PNG"} | options)
    return out.getvalue()


def with_packet(packet: str) -> bytes:
    info = PngInfo()
    info.add_itxt(CHUNK, packet)
    return saved(Image.fromarray(picture()), pnginfo=info)


@pytest.mark.parametrize(
    "origin, term", [("generated", "compositeWithTrainedAlgorithmicMedia"), ("classical", "composite")]
)
def test_a_synthetic_image_says_so_and_keeps_its_pixels(tmp_path, origin, term):
    path = tmp_path / "a.png"
    write_png(path, picture(), synthetic=True, provenance=PROVENANCE | {"origin": origin, "rung": "warp"})
    assert read_marking(path) == PROVENANCE | {"origin": origin, "rung": "warp", "digital_source_type": IPTC + term}
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.array(image), picture())
    assert chunks(path.read_bytes()) == [b"IHDR", b"iTXt", b"IDAT", b"IEND"]
    assert list(tmp_path.iterdir()) == [path]


def test_another_reader_finds_the_iptc_term():
    with Image.open(BytesIO(encode_png(picture(), synthetic=True, provenance=PROVENANCE))) as image:
        description = image.getxmp()["xmpmeta"]["RDF"]["Description"]
    assert description["DigitalSourceType"] == IPTC + "compositeWithTrainedAlgorithmicMedia"
    assert description["CreatorTool"] == "sdaug-nano 1"


def test_a_captured_image_holds_pixels_and_nothing_else(tmp_path):
    write_png(tmp_path / "a.png", picture(), synthetic=False, provenance=None)
    assert read_marking(tmp_path / "a.png") is None
    assert chunks((tmp_path / "a.png").read_bytes()) == [b"IHDR", b"IDAT", b"IEND"]


def test_same_image_same_bytes_whatever_the_memory_layout_or_key_order():
    shuffled = dict(reversed(PROVENANCE.items()))
    striped = np.asfortranarray(picture())
    assert encode_png(picture(), synthetic=True, provenance=PROVENANCE) == encode_png(
        striped, synthetic=True, provenance=shuffled
    )


@given(st.text(min_size=1).filter(str.isprintable))
def test_any_printable_value_comes_back_as_it_was(value):
    png = encode_png(picture(1, 1), synthetic=True, provenance=PROVENANCE | {"generator": value})
    mark = decode_png(png)[1]
    assert mark is not None and mark["generator"] == value


@pytest.mark.parametrize(
    "synthetic, provenance, words",
    [
        (True, None, "provenance lacks"),
        (True, {k: v for k, v in PROVENANCE.items() if k != "parent_sha256"}, "parent_sha256"),
        (True, PROVENANCE | {"origin": "captured"}, "there are: classical, generated"),
        (True, PROVENANCE | {"generator": "a\x00b"}, "printable"),
        (True, PROVENANCE | {"generator": "a\nb"}, "printable"),
        (True, PROVENANCE | {"a b": "c"}, "snake case"),
        (True, PROVENANCE | {"generator": 3}, "printable"),
        (False, PROVENANCE, "carries no provenance"),
    ],
)
def test_bad_provenance_is_refused_and_nothing_written(tmp_path, synthetic, provenance, words):
    with pytest.raises(ValueError, match=words):
        write_png(tmp_path / "a.png", picture(), synthetic=synthetic, provenance=provenance)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_what_is_no_rgb_image_is_refused(image):
    with pytest.raises(ValueError, match="expected uint8"):
        encode_png(image, synthetic=False, provenance=None)


def huge() -> bytes:
    good = bytearray(encode_png(picture(), synthetic=False, provenance=None))
    good[16:24] = struct.pack(">II", 30_000, 30_000)
    return bytes(good)


BOMB = '<!DOCTYPE a [<!ENTITY b "cccccccccc">]><a>&b;</a>'
EXIF = Image.Exif()
EXIF[0x010E] = "a description"


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "not a PNG"),
        (saved(Image.fromarray(picture()), format="JPEG"), "not a PNG"),
        (huge(), "pixels are decoded"),
        (encode_png(picture(), synthetic=False, provenance=None)[:50], "not a readable PNG"),
        (saved(Image.fromarray(picture()).convert("L")), "mode is L"),
        (saved(Image.fromarray(picture()), exif=EXIF), "metadata .*exif"),
        (saved(Image.fromarray(picture()), dpi=(72, 72)), "metadata .*dpi"),
        (with_packet("<a>"), "well-formed"),
        (with_packet(BOMB), "declaration"),
    ],
)
def test_what_we_would_not_have_written_is_not_decoded(data, words):
    with pytest.raises(ValueError, match=words):
        decode_png(data)


def test_a_packet_without_the_iptc_term_is_no_mark():
    assert decode_png(with_packet('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'))[1] is None
