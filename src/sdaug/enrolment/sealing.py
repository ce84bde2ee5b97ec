"""A bundle as one encrypted file: AES-256-GCM over its zip, under a key that is never in it.

The nonce is an HMAC of the content under a key of its own, so the same bundle under the same key gives the same bytes,
and two different bundles never share a nonce. What shows: the length, and that two equal files hold the same bundle.
"""

import base64
import hashlib
import hmac

KEY_VARIABLE = "SDAUG_BUNDLE_KEY"
KEY_BYTES = 32
NONCE_BYTES = 12
MAGIC = b"sdaug.enrolment/1 AES-256-GCM\n"


class SealError(ValueError):
    """A key that is missing or malformed, or a file that this key does not open. The message never holds a key."""


def parse_key(text: str) -> bytes:
    """The 32 bytes of a key given as base64, either alphabet; `sdaug keys data-key` prints such a text.

    >>> parse_key("c2hvcnQ=")
    Traceback (most recent call last):
    sdaug.enrolment.sealing.SealError: the bundle key has 5 bytes, expected 32
    """
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except ValueError as error:
        raise SealError(f"the bundle key is not base64; {KEY_VARIABLE} holds {KEY_BYTES} bytes as base64") from error
    if len(key) != KEY_BYTES:
        raise SealError(f"the bundle key has {len(key)} bytes, expected {KEY_BYTES}")
    return key


def _derived(key: bytes, purpose: str) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(hashes.SHA256(), KEY_BYTES, None, f"sdaug.enrolment/1 {purpose}".encode()).derive(key)


def sealed(data: bytes, key: bytes) -> bytes:
    """`data` encrypted under `key` (32 bytes); the same for the same input."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = hmac.new(_derived(key, "nonce"), data, hashlib.sha256).digest()[:NONCE_BYTES]
    return MAGIC + nonce + AESGCM(_derived(key, "seal")).encrypt(nonce, data, MAGIC)


def unsealed(data: bytes, key: bytes | None) -> bytes:
    """What `sealed` was given. SealError without the right key, or if one bit has changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if key is None:
        raise SealError(f"encrypted; its key is expected in the environment variable {KEY_VARIABLE}")
    nonce, content = data[len(MAGIC) :][:NONCE_BYTES], data[len(MAGIC) + NONCE_BYTES :]
    try:
        return AESGCM(_derived(key, "seal")).decrypt(nonce, content, MAGIC)
    except (InvalidTag, ValueError) as error:
        raise SealError("cannot be decrypted: another key sealed it, or it was changed") from error
