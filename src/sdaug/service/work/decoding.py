"""An upload to a photo: upright, 8-bit sRGB, without anything that was in the file beside its pixels."""

import io
import warnings

from PIL import Image

from sdaug.face.photo import decode_photo
from sdaug.service.pictures import SUFFIXES, check_end, sniff
from sdaug.types import Photo, PhotoError, Reason

MAX_ASPECT = 10.0
"""Longer side over shorter; a strip holds no portrait."""


def decode_upload(data: bytes, max_pixels: int) -> Photo:
    """The photo in an uploaded file, all checks made, its size by the header first. Raises PhotoError."""
    found = sniff(data)
    check_end(data, found)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is below
            with Image.open(io.BytesIO(data), formats=list(SUFFIXES)) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise PhotoError(Reason.TOO_LARGE, f"the image has more than {max_pixels} pixels") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise PhotoError(Reason.UNREADABLE, "the image's header is damaged") from error
    if width * height > max_pixels:
        raise PhotoError(Reason.TOO_LARGE, f"image is {width}x{height} pixels; at most {max_pixels} pixels are read")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PhotoError(Reason.UNREADABLE, f"image is {width}x{height}: a strip, expected a portrait")
    return decode_photo(data)
