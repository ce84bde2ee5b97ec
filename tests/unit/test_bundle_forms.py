"""A bundle as a zip, encrypted, signed: what is written, what is read back, and what is refused."""

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sdaug.enrolment.archive import unzipped, zipped
from sdaug.enrolment.folder import read_folder
from sdaug.enrolment.layout import canonical_json, digest, strict_json, sums_text
from sdaug.enrolment.opened import open_bundle
from sdaug.enrolment.sealing import MAGIC, SealError, parse_key, sealed, unsealed
from sdaug.enrolment.signing import (
    SigningKeyError,
    fingerprint,
    public_of,
    read_private_key,
    read_public_key,
    signature,
)
from sdaug.enrolment.store import check_free, opened, publish, read_bundle
from sdaug.enrolment.terms import Terms
from sdaug.enrolment.verify import BundleError, Expected, check_files, load_embeddings, verify_bundle
from sdaug.soak.bundle_bits import FORMS, bundle_bits, small_bundle

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
OWN = Expected(public_key=public_of(KEY))


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    return {form: small_bundle(folder / name, terms) for form, (name, terms, _) in FORMS.items()}


@pytest.fixture(scope="module")
def signed(forms) -> dict[str, bytes]:
    return read_folder(forms["signed"])[0]


def refusal(files: dict[str, bytes], expected: Expected | None = None) -> str:
    with pytest.raises(BundleError) as caught:
        check_files(files, expected=expected)
    return "\n".join(caught.value.faults)


# -- the same bundle, whatever its form


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same(forms, form):
    expected = FORMS[form][2]
    vectors, manifest = load_embeddings(forms[form], expected=expected)
    plain, original = load_embeddings(forms["folder"])
    np.testing.assert_array_equal(vectors, plain)
    assert manifest.model_copy(update={"signer": None}) == original
    assert open_bundle(forms[form], expected).samples == original.accepted


@pytest.mark.parametrize("form", FORMS)
def test_same_arguments_same_bytes_in_every_form(forms, form, tmp_path):
    again = small_bundle(tmp_path / forms[form].name, FORMS[form][1])
    if again.is_dir():
        assert read_folder(again) == read_folder(forms[form])
    else:
        assert again.read_bytes() == forms[form].read_bytes() and again.stat().st_mode & 0o077 == 0


def test_the_standard_library_reads_the_zip(forms):
    with zipfile.ZipFile(forms["zip"]) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == read_folder(forms["folder"])[0]


def test_nothing_shows_in_an_encrypted_bundle(forms):
    data = forms["encrypted"].read_bytes()
    assert data.startswith(MAGIC)
    for word in (b"nobody", b"manifest", b"PNG", b"safetensors", np.eye(4, dtype=np.float32)[0].tobytes()):
        assert word not in data


# -- zip


def tampered(files: dict[str, bytes], **change) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files, reverse=change.get("reverse", False)):
            archive.writestr(zipfile.ZipInfo(name, change.get("when", (1980, 1, 1, 0, 0, 0))), files[name])
        archive.comment = change.get("comment", b"")
    return out.getvalue()


@pytest.mark.parametrize("change", [{"comment": b"hello"}, {"reverse": True}, {"when": (2030, 1, 1, 0, 0, 0)}])
def test_a_zip_that_we_would_not_have_written_is_refused(change):
    files = {"a": b"1" * 100, "b": b"2"}
    assert unzipped(zipped(files)) == unzipped(tampered(files)) == files
    with pytest.raises(ValueError, match="around them"):
        unzipped(tampered(files, **change))


def test_what_hides_in_a_zip_is_refused():
    files = {"a": b"1" * 100, "b": b"2"}
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(10_000_000))
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    for data in (b"junk" + zipped(files), zipped(files) + b"junk", bomb.getvalue(), twice.getvalue(), b"", b"PK"):
        with pytest.raises(ValueError, match="not "):
            unzipped(data)


# -- encryption


def test_an_encrypted_bundle_opens_with_its_key_alone(forms):
    assert "environment variable SDAUG_BUNDLE_KEY" in read_bundle(forms["encrypted"])[1][0]
    with pytest.raises(BundleError, match="another key sealed it"):
        verify_bundle(forms["encrypted"], expected=Expected(key=OTHER))
    assert (
        verify_bundle(forms["zip"], expected=Expected(key=OTHER)).rows == 2
    )  # a key does no harm where none is needed


def test_two_contents_never_share_a_nonce_and_one_key_is_not_the_other():
    a, b, c = (sealed(data, key)[len(MAGIC) :][:12] for data, key in ((b"a", KEY), (b"b", KEY), (b"a", OTHER)))
    assert len({a, b, c}) == 3
    assert unsealed(sealed(b"a", KEY), KEY) == b"a" and sealed(b"a", KEY) == sealed(b"a", KEY)


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "ä", "A" * 43, "A" * 60, "%" * 44])
def test_a_malformed_key_is_refused_and_not_repeated(text):
    with pytest.raises(SealError) as caught:
        parse_key(text)
    assert len(text) < 10 or text not in str(caught.value)


def test_the_services_data_keys_are_keys_of_bundles():
    from sdaug.service.vault import new_key

    assert len(parse_key(new_key())) == 32


# -- signature


def test_a_signed_bundle_wants_its_public_key(signed):
    own = fingerprint(public_of(KEY))
    assert f"signed by the key {own}, which nobody gave" in refusal(signed)
    assert check_files(signed, expected=OWN)[1].signer == own
    assert check_files(signed, expected=Expected(unverified_signature=True))[1].signer == own
    faults = refusal(signed, Expected(public_key=public_of(OTHER)))
    assert f"signed by the key {own}, yours is {fingerprint(public_of(OTHER))}" in faults


def test_an_unsigned_bundle_is_refused_where_a_signature_is_wanted(forms):
    with pytest.raises(BundleError, match="not signed"):
        verify_bundle(forms["folder"], expected=OWN)


def forged(files: dict[str, bytes], resign: bytes | None, **changes) -> dict[str, bytes]:
    """What somebody makes who rewrites everything that is not secret: manifest, sums, and a signature of their own."""
    manifest = canonical_json(strict_json(files["manifest.json"]) | changes)
    files = {**files, "manifest.json": manifest} | (
        {} if resign is None else {"manifest.sig": signature(resign, manifest)}
    )
    sums = {path: digest(data) for path, data in files.items() if path != "SHA256SUMS"}
    return {**files, "SHA256SUMS": sums_text(sums)}


def test_a_forger_without_the_key_is_noticed(signed):
    assert forged(signed, KEY) == signed
    assert "no signature of this manifest" in refusal(forged(signed, None, subject="somebody"), OWN)
    assert "no signature of this manifest" in refusal(forged(signed, OTHER, subject="somebody"), OWN)
    theirs = forged(signed, OTHER, subject="somebody", signer=fingerprint(public_of(OTHER)))
    assert "yours is" in refusal(theirs, OWN)
    bare = {path: data for path, data in signed.items() if path != "manifest.sig"}
    assert "manifest.sig is missing" in refusal(forged(bare, None))
    assert "not signed" in refusal(forged(bare, None, signer=None), OWN)
    assert "names no signer" in refusal(forged(signed, OTHER, signer=None))


def test_keys_come_from_pem_files_as_openssl_writes_them(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    openssl("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")
    openssl("pkey", "-in", "key.pem", "-aes256", "-passout", "pass:x", "-out", "locked.pem")
    openssl("genpkey", "-algorithm", "ed448", "-out", "other.pem")
    private, public = read_private_key(tmp_path / "key.pem"), read_public_key(tmp_path / "public.pem")
    assert public_of(private) == public
    bundle = small_bundle(tmp_path / "bundle", Terms(sign_with=private))
    assert verify_bundle(bundle, expected=Expected(public_key=public)).signer == fingerprint(public)
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "bundle/manifest.json",
            "-sigfile", "bundle/manifest.sig")  # fmt: skip

    for read, name, words in [
        (read_private_key, "public.pem", "private Ed25519 key"),
        (read_private_key, "locked.pem", "without a passphrase"),
        (read_private_key, "other.pem", "Ed448.* expected a private Ed25519"),
        (read_private_key, "absent.pem", "No such file"),
        (read_public_key, "key.pem", "public Ed25519 key"),
    ]:
        with pytest.raises(SigningKeyError, match=words):
            read(tmp_path / name)


# -- where it lies


def test_only_a_bundle_of_the_same_form_is_replaced(forms, tmp_path):
    files = read_folder(forms["folder"])[0]
    mine = tmp_path / "mine.zip"
    mine.write_bytes(b"mine")
    for overwrite, words in ((False, "overwrite=True"), (True, "not a bundle")):
        with pytest.raises(FileExistsError, match=words):
            publish(mine, files, overwrite=overwrite)
    mine.unlink()
    publish(mine, files)
    publish(mine, files, overwrite=True)
    with pytest.raises(FileExistsError, match="not a file"):
        check_free(Path(shutil.copytree(forms["folder"], tmp_path / "folder")), KEY, overwrite=True)
    with pytest.raises(FileExistsError, match="not a folder"):
        check_free(Path(shutil.copy(forms["zip"], tmp_path / "file")), overwrite=True)
    assert opened(mine.read_bytes()) == files and sorted(p.name for p in tmp_path.iterdir()) == [
        "file",
        "folder",
        "mine.zip",
    ]


def test_a_signed_folder_is_replaced_as_any_other(tmp_path):
    bundle = small_bundle(tmp_path / "b", Terms(sign_with=KEY))
    publish(bundle, read_folder(bundle)[0], overwrite=True)
    assert verify_bundle(bundle, expected=OWN).rows == 2


# -- one bit


@pytest.mark.parametrize("form", ["zip", "encrypted", "signed"])
def test_a_flipped_bit_in_any_byte_of_any_form_is_noticed(forms, form, signed):
    """Bit n % 8 of byte n, every n; of the signed folder every byte of what the others lack."""
    expected = FORMS[form][2]
    data = signed["manifest.sig"] if form == "signed" else forms[form].read_bytes()
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        with pytest.raises(ValueError):
            files = {**signed, "manifest.sig": flipped} if form == "signed" else opened(flipped, expected.key)
            check_files(files, expected=expected)


def test_the_soak_flips_bits_in_every_form_and_tells_what_is_missed(monkeypatch):
    found = bundle_bits(lambda form, at: [at % 8] if at % 101 == 0 else [])
    assert found["passed"] and found["failed"] == 0 and all(count > 10 for count in found["by_form"].values())
    assert sorted(found["by_form"]) == sorted(FORMS)
    monkeypatch.setattr("sdaug.soak.bundle_bits.FORMS", {"folder": FORMS["folder"]})
    monkeypatch.setattr("sdaug.soak.bundle_bits.verify_bundle", lambda path, expected: None)
    blind = bundle_bits(lambda form, at: [0] if at == 3 else [])
    assert not blind["passed"] and set(blind["problems"].values()) == {"not noticed"} and blind["cases"] == 5


def test_terms_do_not_show_their_keys():
    assert "x00" not in repr(Terms(sign_with=KEY, key=KEY)) and "x00" in repr(KEY)
