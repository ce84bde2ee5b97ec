"""What is no plain photo of one person is refused with a reason, and nothing of it is stored."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from sdaug.service import tables


def encoded(pixels: np.ndarray, kind: str, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG that says it is that large, whatever it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.svg", b"<svg>" + b" " * 10_000_000 + b"</svg>")
    return out.getvalue()


def animated(pixels: np.ndarray, kind: str) -> bytes:
    out = io.BytesIO()
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


@pytest.fixture(scope="module")
def small(astronaut) -> np.ndarray:
    return np.ascontiguousarray(astronaut.pixels[:256, 100:356])


@pytest.fixture(scope="module")
def bad_files(small, astronaut) -> dict[str, tuple[bytes, str, int, str]]:
    """By name: bytes, file name, the status and the code they are refused with."""
    jpeg, png = encoded(small, "JPEG"), encoded(small, "PNG")
    bomb = png_header(30_000, 30_000, bytes(3751) * 30_000)
    assert len(bomb) < 200_000
    grey = np.full((600, 600, 3), 127, np.uint8)
    return {
        "nothing": (b"", "p.png", 422, "unreadable_image"),
        "30 000 x 30 000 in little": (bomb, "p.png", 413, "image_too_large"),
        "svg in a zip": (zip_bomb(), "p.svg", 415, "unsupported_format"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "p.svg", 415, "unsupported_format"),
        "gif": (encoded(small, "GIF"), "p.gif", 415, "unsupported_format"),
        "tiff called png": (encoded(small, "TIFF"), "p.png", 415, "unsupported_format"),
        "html called jpg": (b"<html><script>alert(1)</script></html>", "p.jpg", 415, "unsupported_format"),
        "jpeg called png": (jpeg, "p.png", 415, "unsupported_format"),
        "png called jpg": (png, "p.jpg", 415, "unsupported_format"),
        "png and a zip": (png + zip_bomb()[:2000], "p.png", 422, "unreadable_image"),
        "jpeg and a zip": (jpeg + zip_bomb()[:2000], "p.jpg", 422, "unreadable_image"),
        "jpeg and a script": (jpeg + b"\n<SCRIPT>alert(1)</SCRIPT>", "p.jpg", 422, "unreadable_image"),
        "webp and more": (encoded(small, "WEBP") + b"more", "p.webp", 422, "unreadable_image"),
        "animated png": (animated(small, "PNG"), "p.png", 415, "unsupported_format"),
        "animated webp": (animated(small, "WEBP"), "p.webp", 415, "unsupported_format"),
        "cut off jpeg": (jpeg[: len(jpeg) // 2], "p.jpg", 422, "unreadable_image"),
        "cut off png": (png[: len(png) // 2], "p.png", 422, "unreadable_image"),
        "damaged png": (png[:60] + bytes(40) + png[100:], "p.png", 422, "unreadable_image"),
        "one byte": (b"\xff", "p.jpg", 415, "unsupported_format"),
        "only a jpeg's start": (b"\xff\xd8\xff", "p.jpg", 422, "unreadable_image"),
        "a strip": (encoded(np.zeros((20, 2000, 3), np.uint8), "PNG"), "p.png", 422, "unreadable_image"),
        "nobody": (encoded(grey, "PNG"), "p.png", 422, "no_face"),
        "two people": (encoded(np.hstack([astronaut.pixels] * 2), "PNG"), "p.png", 422, "multiple_faces"),
        "path": (png, "../../etc/passwd.png", 422, "unreadable_image"),
        "windows path": (png, "..\\..\\p.png", 422, "unreadable_image"),
        "direction override": (png, "p\u202egnp.png", 422, "unreadable_image"),
        "long name": (png, "p" * 300 + ".png", 422, "unreadable_image"),
        "longer name": (png, "p" * 10_000 + ".png", 400, "bad_form"),
    }  # fmt: skip


def stored(running) -> list[int]:
    """How many rows there are of each kind that belongs to a person."""
    with running.service.engine.connect() as connection:
        kinds = (tables.persons, tables.templates, tables.bundles, tables.answers)
        return [connection.execute(select(func.count()).select_from(kind)).scalar_one() for kind in kinds]


def test_bad_files_are_refused_and_nothing_is_stored(running, bad_files):
    before = stored(running)
    for what, (data, name, status, code) in bad_files.items():
        answer = running.http.post(
            "/api/enroll",
            data={"name": "Ayesha Khan", "cnic": running.new_cnic()},
            files={"file": (name, data)},
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code), (what, answer.text)
        assert set(answer.json()) == {"detail", "code", "request_id"}, what
    assert stored(running) == before
    written = b"".join(path.read_bytes() for path in running.data.iterdir())
    pieces = {what: data[50:90] for what, (data, *_) in bad_files.items() if len(set(data[50:90])) > 10}
    assert len(pieces) > 12 and [what for what, piece in pieces.items() if piece in written] == []


def test_a_hundred_megabytes_are_refused_before_they_are_read(running):
    sent = []

    def body():
        sent.append(1)
        yield bytes(1000)

    answer = running.http.post(
        "/api/enroll", content=body(), headers={"Content-Length": "100000000", "Content-Type": "multipart/form-data"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


def test_more_bytes_than_announced_are_refused(running):
    """Chunked: no length is told, so they are counted."""
    answer = running.http.post(
        "/api/enroll",
        content=(bytes(1024 * 1024) for _ in range(20)),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert (answer.status_code, answer.json()["code"]) in ((413, "request_too_large"), (400, "bad_form"))


def test_files_of_the_invalid_folder_are_refused(running, faces):
    before = running.persons()
    files = sorted((faces / "invalid").iterdir())
    assert len(files) >= 6
    for path in files:
        answer = running.http.post(
            "/api/enroll",
            data={"name": "Ayesha Khan", "cnic": running.new_cnic()},
            files={"file": (path.name, path.read_bytes())},
        )
        assert answer.status_code in (413, 415, 422), (path.name, answer.text)
        assert answer.json()["detail"], path.name
    assert running.persons() == before


@pytest.mark.parametrize(
    "field, value",
    [
        ("name", "x" * 10_000),
        ("name", "Robert'); DROP TABLE persons;--"),
        ("name", "<script>alert(1)</script>"),
        ("name", "Ayesha \U0001f600"),
        ("name", "abc\u202egnp"),
        ("name", "../../etc/passwd"),
        ("name", "a\x00b"),
        ("name", "   "),
        ("name", "..."),
        ("cnic", "1' OR '1'='1"),
        ("cnic", "<b>35202</b>"),
        ("cnic", "12345"),
        ("cnic", "9" * 10_000),
        ("cnic", "\u0663" * 13),
        ("use_augmentation", "' OR 1=1"),
        ("use_sd_augmentation", "<b>"),
        ("sd_num_angles", "0"),
        ("sd_num_angles", "11"),
        ("sd_num_angles", "5; DROP TABLE persons"),
        ("preview_id", "../../x"),
        ("accepted", "0"),
        ("file_path", "/etc/passwd"),
        ("url", "http://169.254.169.254/"),
    ],
)
def test_bad_fields_are_refused_and_not_repeated(running, photo, field, value):
    before = running.persons()
    answer = running.enrol(photo, **{field: value})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in ("invalid_field", "unknown_field")
    assert value.strip(" .") == "" or len(value) < 6 or value not in answer.text
    assert running.persons() == before


@pytest.mark.parametrize("name", ["محمد علی", "נועה כהן", "José O'Brien-Núñez", "李小龍", "می‌خواهم", "Ægir Þór, Jr."])
def test_names_of_any_script_come_back_as_they_went(running, photo, name):
    answer = running.enrol(photo, name=name)
    assert answer.status_code == 200, answer.text
    assert running.http.get(f"/api/persons/{answer.json()['person_id']}").json()["name"] == name


def test_a_form_that_is_none(running, photo):
    for content, kind, status in (
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b"{}", "application/json", 415),
        (b"nonsense", "multipart/form-data; boundary=x", 400),
        (b"", "multipart/form-data", 415),
    ):
        answer = running.http.post("/api/enroll", content=content, headers={"Content-Type": kind})
        assert answer.status_code == status, (kind, answer.text)


@pytest.mark.parametrize("path", ["/api/enroll", "/api/enroll/multiple", "/api/previews", "/api/compare"])
@pytest.mark.parametrize("charset", ["undefined", "punycode", "idna", "latin-1", "no-such"])
def test_a_form_in_another_charset_is_refused(running, path, charset):
    field = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff-\xff\r\n--x--\r\n'
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    answer = running.http.post(path, content=field, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_form"), answer.text


def test_a_form_that_says_it_is_utf_8_is_taken(running, photo):
    request = running.http.build_request("POST", "/api/compare", data={"top": "1"}, files={"file": ("p.png", photo)})
    request.headers["Content-Type"] += '; charset="UTF-8"'
    assert running.http.send(request).status_code == 200


def test_metadata_of_the_photo_is_not_kept_and_its_orientation_is_applied(running, astronaut):
    turned = Image.fromarray(np.rot90(astronaut.pixels, 1).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by 90 degrees clockwise
    exif[0x010E] = "SECRET-PLACE"
    out = io.BytesIO()
    turned.save(out, "JPEG", exif=exif, quality=95)
    answer = running.http.post(
        "/api/enroll",
        data={"name": "Ayesha Khan", "cnic": running.new_cnic(), "use_augmentation": "false"},
        files={"file": ("p.jpg", out.getvalue())},
    )
    assert answer.status_code == 200, answer.text
    bundle = running.http.get(f"/api/persons/{answer.json()['person_id']}/bundle").content
    assert b"SECRET-PLACE" not in bundle and b"Exif" not in bundle
