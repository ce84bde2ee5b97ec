"""Reading a photo: decode whatever a camera wrote, upright and 8-bit RGB, or refuse it with a reason."""

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from sdaug.measure.digest import array_sha256
from sdaug.types import Photo, PhotoError, Reason

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 150_000_000
"""More than a 12 000 px square; checked from the header, before anything is decoded."""


def read_photo(path: str | Path) -> Photo:
    """The photo in a file. Raises PhotoError: unreadable, unsupported or too large; FileNotFoundError as usual."""
    data = Path(path).read_bytes()
    return decode_photo(data, Path(path).name)


def decode_photo(data: bytes, name: str | None = None) -> Photo:
    """The photo in `data`: first frame, EXIF orientation applied, colour profile turned into sRGB, 16 bits into 8."""
    if not data:
        raise PhotoError(Reason.UNREADABLE, "the file is empty (0 bytes); expected an image")
    try:
        with warnings.catch_warnings():
            # Pillow warns below our own limit, which `_decode` applies from the header; its error at twice that stays
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise PhotoError(Reason.UNSUPPORTED, f"not an image of a known format; expected one of {known}") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(Reason.TOO_LARGE, f"{error}; at most {MAX_PIXELS} pixels are read") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise PhotoError(Reason.UNREADABLE, f"the image header is damaged: {error}") from error
    return Photo(_decode(image), hashlib.sha256(data).hexdigest(), name)


def _decode(image: Image.Image) -> np.ndarray:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(Reason.TOO_LARGE, f"image is {width}x{height} pixels; at most {MAX_PIXELS} pixels are read")
    try:
        image.load()
        pixels = _rgb(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise PhotoError(Reason.UNREADABLE, f"the image is damaged or cut off: {error}") from error
    return np.ascontiguousarray(pixels)


def _rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of any Pillow mode; transparency is laid over mid grey."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        top = 65535.0 if values.max() > 255 else 255.0
        grey = np.clip(values * (255.0 / top), 0, 255).round().astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                image = converted
        except ImageCms.PyCMSError as error:
            raise ValueError(f"the embedded colour profile cannot be used: {error}") from error
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (127, 127, 127, 255)), rgba)
    return np.asarray(image.convert("RGB"))


def photo_from_array(pixels: np.ndarray) -> Photo:
    """A photo from (H, W, 3) uint8 RGB pixels; raises TypeError or ValueError on any other array."""
    if not isinstance(pixels, np.ndarray):
        raise TypeError(f"image must be a numpy array, got {type(pixels).__name__}")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"image must be (H, W, 3) uint8, got shape {pixels.shape} of {pixels.dtype}")
    return Photo(np.ascontiguousarray(pixels), array_sha256(pixels))
