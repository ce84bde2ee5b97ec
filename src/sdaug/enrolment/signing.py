"""Who vouches for a bundle: an Ed25519 signature of `manifest.json`, which holds the digest of every other file.

`openssl genpkey -algorithm ed25519 -out key.pem` makes a private key, `openssl pkey -in key.pem -pubout` its public
one.
"""

from pathlib import Path
from typing import Any

from sdaug.enrolment.layout import digest


class SigningKeyError(ValueError):
    """A key file that cannot be used; the message names the file and what was expected, never the key."""


def read_private_key(path: Path) -> bytes:
    """The 32 bytes of the Ed25519 private key in a PEM file (PKCS 8, without a passphrase)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _loaded(path, lambda data: load_pem_private_key(data, None), "a private Ed25519 key without a passphrase")
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(f"{path} holds a {type(key).__name__}, expected a private Ed25519 key")
    return key.private_bytes_raw()


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of the Ed25519 public key in a PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _loaded(path, load_pem_public_key, "a public Ed25519 key")
    if not isinstance(key, Ed25519PublicKey):
        raise SigningKeyError(f"{path} holds a {type(key).__name__}, expected a public Ed25519 key")
    return key.public_bytes_raw()


def _loaded(path: Path, load: Any, wanted: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(Path(path).read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        # A TypeError is what `cryptography` says of a key under a passphrase.
        reason = error.strerror if isinstance(error, OSError) else "it is no such PEM file"
        raise SigningKeyError(f"{path} cannot be read as {wanted}: {reason}") from error


def public_of(private: bytes) -> bytes:
    """The public key, 32 bytes, of a private one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def fingerprint(public: bytes) -> str:
    """What a manifest calls its signer: the SHA-256 of the public key's 32 bytes."""
    return digest(public)


def signature(private: bytes, manifest: bytes) -> bytes:
    """64 bytes; Ed25519 (RFC 8032) draws no random number, so the same for the same input."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private).sign(manifest)


def signature_faults(
    signer: str | None, found: bytes | None, manifest: bytes, public: bytes | None, unverified: bool
) -> list[str]:
    """What is wrong with a bundle's signature.

    signer: the fingerprint that the manifest names, None for an unsigned bundle. found: the signature file. public: the
    key it must be by, None if nobody gave one, which only `unverified` allows where there is a signature.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if (signer is None) != (found is None):
        said = "names no signer" if signer is None else f"is to be signed by the key {signer}"
        return [f"the manifest {said}, but manifest.sig is {'there' if signer is None else 'missing'}"]
    if signer is None or found is None:
        return [] if public is None else [f"not signed; a signature by the key {fingerprint(public)} was expected"]
    if public is None:
        hint = "give its public key, or allow an unverified signature to have all but the signature checked"
        return [] if unverified else [f"signed by the key {signer}, which nobody gave to check it with; {hint}"]
    if fingerprint(public) != signer:
        return [f"signed by the key {signer}, yours is {fingerprint(public)}"]
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(found, manifest)
    except InvalidSignature:
        return [f"manifest.sig is no signature of this manifest by the key {signer}"]
    return []
