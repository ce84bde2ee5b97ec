"""What is stored is sealed here, and opened again: AES-256-GCM under keys that derive from one data key."""

import base64
import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_VARIABLE = "SDAUG_DATA_KEY"
KEY_BYTES = 32
NONCE_BYTES = 12

log = logging.getLogger("sdaug.service")


class VaultError(RuntimeError):
    """A key that is missing or malformed, or something sealed that this key does not open."""


class Vault:
    """Seals and opens bytes, and makes keyed hashes. key: 32 bytes, from which one key for each purpose is derived."""

    def __init__(self, key: bytes):
        if len(key) != KEY_BYTES:
            raise VaultError(f"the data key has {len(key)} bytes, expected {KEY_BYTES}")
        self._key = key
        self._cipher = AESGCM(self._derived("seal"))

    def _derived(self, purpose: str) -> bytes:
        return HKDF(hashes.SHA256(), KEY_BYTES, None, f"sdaug.service/1 {purpose}".encode()).derive(self._key)

    def seal(self, data: bytes, about: str) -> bytes:
        """`data` encrypted. about: what it belongs to; it opens for nothing else, so rows cannot be exchanged."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes:
        """What `seal` was given. Raises VaultError under another key, for another `about`, or if a bit has changed."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: too short to hold a nonce
            raise VaultError(f"{about} cannot be opened: another data key sealed it, or it was changed") from error

    def keyed_hash(self, purpose: str, text: str) -> str:
        """64 hexadecimal digits that say nothing of `text` to whoever lacks the key."""
        return hmac.new(self._derived(f"hash {purpose}"), text.encode(), hashlib.sha256).hexdigest()


def new_key() -> str:
    """A data key as text, for `SDAUG_DATA_KEY`."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def parse_key(text: str) -> bytes:
    """The bytes of a data key. Raises VaultError; the message never holds the text."""
    try:
        key = base64.b64decode(text.strip(), altchars=b"-_", validate=True)
    except ValueError as error:
        raise VaultError(f"the data key is not base64; `sdaug keys data-key` prints one for {KEY_VARIABLE}") from error
    if len(key) != KEY_BYTES:
        raise VaultError(f"the data key has {len(key)} bytes, expected {KEY_BYTES}; `sdaug keys data-key` prints one")
    return key


def open_vault(key_file: Path) -> Vault:
    """The vault under `$SDAUG_DATA_KEY`, else under the key in `key_file`, which is made if it does not exist."""
    text = os.environ.get(KEY_VARIABLE)
    if text:
        return Vault(parse_key(text))
    log.warning(
        "%s is unset: the data key lies in %s. Whoever copies that file together with the data can read the data",
        KEY_VARIABLE,
        key_file,
    )
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Vault(parse_key(key_file.read_text(encoding="ascii")))
    with os.fdopen(handle, "w", encoding="ascii") as file:
        key = new_key()
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    return Vault(parse_key(key))
