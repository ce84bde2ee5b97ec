import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdaug.enrolment import folder as folder_module
from sdaug.enrolment.bundle import BundleSample, write_bundle
from sdaug.enrolment.folder import read_folder
from sdaug.enrolment.layout import SCHEMA, canonical_json, digest, sums_text, tensor_bytes
from sdaug.enrolment.manifest import parse_manifest
from sdaug.enrolment.marking import decode_png, encode_png, read_marking
from sdaug.enrolment.terms import Terms
from sdaug.enrolment.verify import BundleError, check_files, load_embeddings, verify_bundle
from sdaug.types import ANGLES, Pose, QualityScore

PHOTO = "ab" * 32
RECOGNISER = {"name": "fake", "sha256": "cd" * 32, "dim": 4, "metric": "cosine", "licence": "none"}


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (6, 5, 3), dtype=np.uint8)


def raw(pixels: np.ndarray) -> np.ndarray:
    means = pixels.reshape(-1, 3).astype(np.float64).mean(axis=0)
    return np.array([*means, 1.0], np.float32)


def unit(pixels: np.ndarray) -> np.ndarray | None:
    """A fake recogniser: it sees no face in a black image."""
    vector = raw(pixels).astype(np.float64)
    return None if not pixels.any() else (vector / np.linalg.norm(vector)).astype(np.float32)


SOURCE = BundleSample(
    origin="captured",
    role="source",
    image=picture(0),
    parent_sha256=PHOTO,
    accepted=True,
    measured=Pose(1.5, -2.0, 0.25),
    quality={"sharpness": QualityScore(12.5, 0.9)},
)
WARPED = replace(
    SOURCE,
    origin="classical",
    role="yaw+45_pitch+00",
    image=picture(1),
    requested=Pose(45, 0),
    measured=Pose(41.0, 1.0),
    rung="warp",
    degraded=("low_similarity",),
    similarity={"fake": 0.75},
)
MADE = replace(WARPED, origin="generated", role="yaw-45_pitch+00", image=picture(2), rung="diffusion", degraded=())
REFUSED = replace(
    MADE, role="yaw+00_pitch-30", accepted=False, rung="refused", reasons=("pose_error",), image=picture(3)
)
SAMPLES = (SOURCE, REFUSED, WARPED, MADE)
ARGUMENTS = {
    "subject": "subject-7",
    "samples": SAMPLES,
    "embed": unit,
    "recogniser": RECOGNISER,
    "detector": {"name": "mesh", "padding": 0.25},
    "generator": {"name": "sdaug-nano", "version": "1", "num_inference_steps": 4},
    "policy": {"max_pose_error_deg": 12.25},
    "tool": {"name": "sdaug", "version": "0.1.0"},
    "created": "2030-01-31T12:00:00Z",
    "config_hash": "ef" * 32,
}
TERMS = {
    "consent": {"purpose": "door", "legal_basis": "consent", "reference": "c-1"},
    "retention_until": "2031-01-31",
}


def written(path: Path, **changes) -> Path:
    terms = TERMS | {name: changes.pop(name) for name in list(changes) if name in Terms.__dataclass_fields__}
    return write_bundle(path, **ARGUMENTS | changes, terms=Terms(**terms))


def tree(path: Path) -> dict[str, bytes]:
    files, faults = read_folder(path)
    assert faults == []
    return files


@pytest.fixture
def bundle(tmp_path) -> Path:
    return written(tmp_path / "bundle")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> dict[str, bytes]:
    return tree(written(tmp_path_factory.mktemp("good") / "bundle"))


# --- writing ---


def test_what_is_written_is_what_was_given(bundle):
    report = verify_bundle(bundle, RECOGNISER["sha256"])
    assert (report.subject, report.rows, report.dim, report.recogniser) == ("subject-7", 3, 4, "fake")
    assert report.by_origin == {"captured": 1, "classical": 1, "generated": 1}

    embeddings, manifest = load_embeddings(bundle)
    assert embeddings.dtype == np.float32
    np.testing.assert_array_equal(embeddings, np.stack([unit(s.image) for s in (SOURCE, WARPED, MADE)]))
    assert [(s.role, s.row) for s in manifest.samples] == [
        ("source", 0),
        ("yaw+00_pitch-30", None),
        ("yaw+45_pitch+00", 1),
        ("yaw-45_pitch+00", 2),
    ]
    assert manifest.samples[2].measured == Pose(41.0, 1.0) and manifest.samples[2].requested == Pose(45.0, 0.0)
    assert manifest.samples[2].degraded == ("low_similarity",)
    assert manifest.samples[0].quality == SOURCE.quality and manifest.samples[2].similarity == {"fake": 0.75}


def test_manifest_json_has_the_fields_of_the_schema(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert set(manifest) == {
        "schema", "subject", "created", "tool", "config_hash", "recogniser", "detector", "generator", "samples",
        "pose_convention", "policy", "consent", "retention_until", "pose_coverage", "pose_map", "files", "label",
        "evaluation", "signer",
    }  # fmt: skip
    assert manifest["schema"] == SCHEMA and manifest["pose_convention"] == "ISO/IEC 39794-5"
    assert manifest["recogniser"] == RECOGNISER | {"normalised": True}
    assert manifest["generator"] == ARGUMENTS["generator"] and manifest["detector"] == ARGUMENTS["detector"]
    assert manifest["consent"] == TERMS["consent"] | {"time": None, "controller": None}
    assert manifest["config_hash"] == "ef" * 32
    assert manifest["pose_coverage"] == [
        {"yaw_deg": 1.5, "pitch_deg": -2.0, "origin": "captured"},
        {"yaw_deg": 41.0, "pitch_deg": 1.0, "origin": "classical"},
        {"yaw_deg": 41.0, "pitch_deg": 1.0, "origin": "generated"},
    ]
    refused = manifest["samples"][1]
    assert (refused["decision"], refused["reasons"]) == ("refused", ["pose_error"])
    assert refused["row"] is refused["image"] is refused["image_sha256"] is None


def test_images_are_marked_as_what_they_are_and_refused_ones_are_absent(bundle):
    assert sorted(p.name for p in (bundle / "images").iterdir()) == [
        "00-source.png",
        "01-yaw+45_pitch+00.png",
        "02-yaw-45_pitch+00.png",
    ]
    assert read_marking(bundle / "images/00-source.png") is None
    marks = [read_marking(p) for p in sorted((bundle / "images").iterdir())[1:]]
    assert [mark["origin"] for mark in marks] == ["classical", "generated"]
    assert {mark["parent_sha256"] for mark in marks} == {PHOTO}
    assert {mark["generator"] for mark in marks} == {"sdaug-nano"}
    np.testing.assert_array_equal(decode_png((bundle / "images/02-yaw-45_pitch+00.png").read_bytes())[0], MADE.image)


def test_sha256sum_and_the_safetensors_library_read_it_too(bundle):
    from safetensors import safe_open

    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not on this machine")
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=bundle, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count(": OK") == 5, done.stderr
    with safe_open(bundle / "embeddings.safetensors", "np") as file:
        assert list(file.keys()) == ["embeddings"]
        np.testing.assert_array_equal(file.get_tensor("embeddings"), load_embeddings(bundle)[0])
        assert file.metadata() == {
            "schema": SCHEMA, "recogniser": "fake", "recogniser_sha256": "cd" * 32, "metric": "cosine",
        }  # fmt: skip


def test_same_arguments_same_bytes(tmp_path, good):
    assert tree(written(tmp_path / "b")) == good
    assert tree(written(tmp_path / "c", created="2030-01-31T12:00:01Z")) != good


def test_without_images_the_vectors_are_the_same(tmp_path, good):
    files = tree(written(tmp_path / "b", include_images=False))
    assert sorted(files) == ["SHA256SUMS", "embeddings.safetensors", "manifest.json"]
    assert files["embeddings.safetensors"] == good["embeddings.safetensors"]
    samples = parse_manifest(files["manifest.json"]).samples
    assert samples[0].image is None and samples[0].image_sha256 == digest(good["images/00-source.png"])


def test_the_stored_pixels_are_what_is_embedded(tmp_path):
    seen = []

    def embed(pixels):
        seen.append(pixels)
        return unit(pixels)

    bundle = written(tmp_path / "b", embed=embed)
    stored = [decode_png(p.read_bytes())[0] for p in sorted((bundle / "images").iterdir())]
    assert len(seen) == 3 and all(np.array_equal(a, b) for a, b in zip(seen, stored, strict=True))


def test_what_cannot_be_embedded_becomes_refused(tmp_path):
    black = replace(WARPED, image=np.zeros((6, 5, 3), np.uint8))
    _, manifest = load_embeddings(written(tmp_path / "b", samples=(SOURCE, black, MADE)))
    assert [s.decision for s in manifest.samples] == ["accepted", "refused", "accepted"]
    assert manifest.samples[1].reasons == ("face_not_found",) and manifest.samples[2].row == 1


def test_a_euclidean_recogniser_keeps_its_raw_vectors(tmp_path):
    recogniser = RECOGNISER | {"metric": "euclidean"}
    embeddings, manifest = load_embeddings(written(tmp_path / "b", recogniser=recogniser, embed=raw))
    np.testing.assert_array_equal(embeddings[0], raw(SOURCE.image))
    assert np.linalg.norm(embeddings[0]) > 10 and manifest.recogniser.normalised is False


def sloppy(factor: float):
    return lambda pixels: unit(pixels) * np.float32(factor)


@pytest.mark.parametrize("factor, fine", [(1 + 1e-4, True), (1 - 1e-4, True), (1 + 3e-4, False), (1 - 3e-4, False)])
def test_cosine_vectors_have_unit_norm(tmp_path, factor, fine):
    if fine:
        assert verify_bundle(written(tmp_path / "b", embed=sloppy(factor))).rows == 3
    else:
        with pytest.raises(ValueError, match="'source': norms by row .* expected 1"):
            written(tmp_path / "b", embed=sloppy(factor))


@pytest.mark.parametrize("vector", [np.zeros(4), np.full(4, np.nan), np.array([np.inf, 0, 0, 0])])
def test_euclidean_vectors_are_finite_and_not_zero(tmp_path, vector):
    with pytest.raises(ValueError, match="finite and above 0"):
        written(tmp_path / "b", recogniser=RECOGNISER | {"metric": "euclidean"}, embed=lambda pixels: vector)


BLACK_SOURCE = replace(SOURCE, image=np.zeros((6, 5, 3), np.uint8))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"subject": ""}, "subject.*1 to 128"),
        ({"subject": "a" * 129}, "129"),
        ({"subject": "a/b"}, "path separators"),
        ({"subject": "a\\b"}, "path separators"),
        ({"subject": "a\nb"}, "control"),
        ({"subject": "a\u202eb"}, "invisible"),
        ({"subject": ".."}, "not '.' or '..'"),
        ({"subject": " a"}, "no space"),
        ({"subject": 7}, "subject: .*string"),
        ({"created": "yesterday"}, "created: .*ISO 8601"),
        ({"created": "2030-01-31T12:00:00"}, "with zone"),
        ({"created": "2030-02-30T12:00:00Z"}, "created: .*day"),
        ({"retention_until": "2029-12-31"}, "before created"),
        ({"recogniser": RECOGNISER | {"metric": "manhattan"}}, "recogniser.metric"),
        ({"recogniser": RECOGNISER | {"normalised": False}}, "means the opposite"),
        ({"recogniser": RECOGNISER | {"sha256": "CD" * 32}}, "recogniser.sha256"),
        ({"recogniser": RECOGNISER | {"dim": 5}}, r"shape \(4,\), fake says \(5,\)"),
        ({"recogniser": {"name": "fake"}}, "recogniser.dim: Field required"),
        ({"generator": {"name": "x"}}, "generator.version"),
        ({"policy": {"threshold": float("nan")}}, "JSON"),
        ({"policy": {"vector": np.zeros(2)}}, "JSON"),
        ({"samples": ()}, "no captured sample"),
        ({"samples": (WARPED,)}, "no captured sample"),
        ({"samples": (BLACK_SOURCE, WARPED)}, "no captured sample"),
        ({"samples": (replace(SOURCE, accepted=False, reasons=("no_face",)), WARPED)}, "no captured sample"),
        ({"samples": (SOURCE, replace(WARPED, parent_sha256="01" * 32))}, "not among the captured"),
        ({"samples": (SOURCE, replace(WARPED, role="../up"))}, r"samples\[1\] \('../up'\): role"),
        ({"samples": (SOURCE, replace(WARPED, role="Yaw"))}, "role"),
        ({"samples": (SOURCE, replace(WARPED, image=None))}, "without an image"),
        ({"samples": (SOURCE, replace(WARPED, accepted=False))}, "refused without a reason"),
        ({"samples": (SOURCE, replace(WARPED, similarity={"fake": float("nan")}))}, r"samples\[1\].*JSON"),
        ({"samples": (SOURCE, replace(REFUSED, reasons=("ugly",)))}, "reasons"),
        ({"samples": (SOURCE, replace(WARPED, origin="drawn"))}, "origin"),
        ({"samples": (SOURCE, replace(WARPED, image=np.zeros((6, 5))))}, "expected uint8"),
    ],
)
def test_bad_arguments_are_refused_by_name_and_nothing_is_written(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        written(tmp_path / "b", **changes)
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments_are_refused_before_anything_is_embedded(tmp_path):
    def embed(pixels):
        raise AssertionError("embedded before the arguments were checked")

    bad_image = replace(WARPED, image=np.zeros((6, 5)))
    for changes in ({"subject": "a/b"}, {"samples": (SOURCE, bad_image)}, {"samples": (WARPED,)}):
        with pytest.raises(ValueError, match="subject|expected uint8|no captured"):
            written(tmp_path / "b", embed=embed, **changes)
    with pytest.raises(FileExistsError):
        (tmp_path / "c").write_text("mine")
        written(tmp_path / "c", embed=embed)


# --- publishing ---


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    for manifest in (None, "[]", '{"schema": "other/1"}', "{"):
        if manifest is not None:
            (mine / "manifest.json").write_text(manifest)
        for overwrite in (False, True):
            with pytest.raises(FileExistsError, match="mine"):
                written(mine, overwrite=overwrite)
    assert (mine / "notes.txt").read_text() == "mine"


def test_overwriting_replaces_a_bundle_and_only_when_asked(bundle):
    with pytest.raises(FileExistsError, match="overwrite=True"):
        written(bundle)
    written(bundle, overwrite=True, subject="subject-8", samples=(SOURCE,))
    assert verify_bundle(bundle).subject == "subject-8" and sorted(tree(bundle)) == [
        "SHA256SUMS", "embeddings.safetensors", "images/00-source.png", "manifest.json",
    ]  # fmt: skip
    assert list(bundle.parent.iterdir()) == [bundle]


def test_overwriting_spares_a_bundle_with_foreign_files(bundle):
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="notes.txt"):
        written(bundle, overwrite=True)
    assert (bundle / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_filled_and_a_link_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert verify_bundle(written(tmp_path / "empty")).rows == 3
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with pytest.raises(FileExistsError, match="not a folder"):
        written(tmp_path / "link", overwrite=True)


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_failing_rename_leaves_the_old_bundle_whole(bundle, monkeypatch, fails_at):
    before, calls, really = tree(bundle), [], os.replace

    def replace_(source, target):
        calls.append(target)
        if len(calls) == fails_at:
            raise OSError("disk trouble")
        really(source, target)

    monkeypatch.setattr(folder_module.os, "replace", replace_)
    with pytest.raises(OSError, match="disk trouble"):
        written(bundle, overwrite=True, subject="subject-8")
    assert tree(bundle) == before and list(bundle.parent.iterdir()) == [bundle]


def test_a_failing_write_leaves_nothing(tmp_path, monkeypatch):
    def write_bytes(self, data):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OSError, match="disk full"):
        written(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_may_read_it(bundle):
    assert bundle.stat().st_mode & 0o077 == 0


# --- verifying ---


def resealed(files: dict[str, bytes], edit) -> dict[str, bytes]:
    """What a forger with a text editor and sha256sum makes: `edit` changes things, then all digests are redone."""
    files = dict(files)
    manifest = json.loads(files.pop("manifest.json"))
    del files["SHA256SUMS"]
    edit(files, manifest)
    manifest["files"] = {p: {"sha256": digest(d), "size": len(d)} for p, d in files.items()} | manifest["files"].get(
        "forged", {}
    )
    for sample in manifest["samples"] if isinstance(manifest["samples"], list) else ():
        if sample["image"] in files:
            sample["image_sha256"] = digest(files[sample["image"]])
    files["manifest.json"] = canonical_json(manifest)
    files["SHA256SUMS"] = sums_text({p: digest(d) for p, d in files.items()})
    return files


def refusal(files: dict[str, bytes], **options) -> str:
    with pytest.raises(BundleError) as caught:
        check_files(files, **options)
    return "\n".join(caught.value.faults)


def test_resealing_an_unchanged_bundle_changes_nothing(good):
    assert resealed(good, lambda files, manifest: None) == good


def tensors(vectors: np.ndarray):
    facts = {"schema": SCHEMA, "recogniser": "fake", "recogniser_sha256": "cd" * 32, "metric": "cosine"}
    return lambda files, manifest: files.update({"embeddings.safetensors": tensor_bytes(vectors, facts)})


def put(*path, value):
    def edit(files, manifest):
        at = manifest
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return edit


def swap_rows(files, manifest):
    manifest["samples"][2]["row"], manifest["samples"][3]["row"] = 2, 1
    for sample in manifest["samples"][2:]:
        sample["image"] = f"images/{sample['row']:02d}-{sample['role']}.png"
    files["images/02-yaw+45_pitch+00.png"] = files.pop("images/01-yaw+45_pitch+00.png")
    files["images/01-yaw-45_pitch+00.png"] = files.pop("images/02-yaw-45_pitch+00.png")


def unmark(files, manifest):
    files["images/02-yaw-45_pitch+00.png"] = encode_png(MADE.image, synthetic=False, provenance=None)


def mark_the_photo(files, manifest):
    files["images/00-source.png"] = files["images/02-yaw-45_pitch+00.png"]


def mark_otherwise(files, manifest):
    files["images/02-yaw-45_pitch+00.png"] = files["images/01-yaw+45_pitch+00.png"]


def append_to_vectors(files, manifest):
    files["embeddings.safetensors"] += b"\0"


def integers_instead(files, manifest):
    files["embeddings.safetensors"] = files["embeddings.safetensors"].replace(b'"F32"', b'"I32"')


UNIT = np.eye(4, dtype=np.float32)


@pytest.mark.parametrize(
    "edit, words",
    [
        (put("schema", value="sdaug.enrolment/2"), "schema is 'sdaug.enrolment/2'"),
        (put("subject", value="a/b"), "subject: .*path separators"),
        (put("samples", value=3), "samples: "),
        (put("samples", 0, "row", value=1), "row|image is"),
        (put("samples", 0, "measured", "yaw_deg", value="1"), "samples.0.measured.yaw_deg"),
        (put("samples", 0, "measured", "extra", value=1.0), "samples.0.measured|canonical"),
        (put("samples", 0, "surprise", value=1.0), "samples.0.surprise"),
        (put("samples", 2, "synthetic", value=False), "synthetic is False"),
        (put("samples", 1, "row", value=3), "refused sample has no row"),
        (put("samples", 1, "reasons", value=[]), "says why"),
        (put("samples", 2, "image", value="../../etc/passwd"), "image is '../../etc/passwd'"),
        (put("samples", 2, "image", value=None), "files lists 'images/01"),
        (put("samples", 2, "parent_sha256", value="01" * 32), "not among the captured"),
        (put("pose_coverage", value=[]), "pose_coverage"),
        (put("pose_convention", value="mine"), "pose_convention"),
        (put("recogniser", "normalised", value=False), "means the opposite"),
        (put("recogniser", "sha256", value="01" * 32), "header is"),
        (put("recogniser", "dim", value=3), "header is"),
        (put("files", "forged", value={"../up": {"sha256": "01" * 32, "size": 1}}), "files lists '../up'"),
        (swap_rows, r"rows are \[0, 2, 1\]"),
        (unmark, "02-yaw-45.*without its mark"),
        (mark_the_photo, "00-source.*captured image is marked"),
        (mark_otherwise, "mark says origin 'classical', expected 'generated'"),
        (lambda files, m: files.update({"images/00-source.png": b"GIF89a"}), "00-source.png: not a PNG"),
        (lambda files, m: files.update({"images/09-other.png": b"x"}), "files lists 'images/09-other.png'"),
        (lambda files, m: files.pop("images/00-source.png"), "files lacks 'images/00-source.png'"),
        (tensors(UNIT[:2]), "header is"),
        (tensors(UNIT), "header is"),
        (tensors(UNIT[:3] * 1.001), "norms by row"),
        (tensors(UNIT[:3] * np.nan), "norms by row"),
        (append_to_vectors, "49 bytes of vectors, expected 3 x 4"),
        (integers_instead, "header is .*I32"),
    ],
)
def test_a_consistent_forgery_that_breaks_a_rule_is_refused(good, edit, words):
    assert re.search(words, refusal(resealed(good, edit)), re.DOTALL)


def changed(files: dict[str, bytes], name: str, content: bytes | None) -> dict[str, bytes]:
    return {k: v for k, v in {**files, name: content}.items() if v is not None}


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("manifest.json", lambda d: None, "manifest.json is missing"),
        ("SHA256SUMS", lambda d: None, "SHA256SUMS is missing"),
        ("embeddings.safetensors", lambda d: None, "embeddings.safetensors is missing"),
        ("images/00-source.png", lambda d: None, "images/00-source.png is missing"),
        ("images/00-source.png", lambda d: d + b"x", "bytes, the manifest says"),
        ("SHA256SUMS", lambda d: d.replace(b"\n", b"\r\n"), "malformed|unexpected"),
        ("SHA256SUMS", lambda d: d + d.splitlines(True)[0], "malformed"),
        ("SHA256SUMS", lambda d: b"".join(d.splitlines(True)[1:]), "lacks the line"),
        ("SHA256SUMS", lambda d: d + b"00  ../up\n", r"unexpected line '00  \.\./up'"),
        ("SHA256SUMS", lambda d: d[:-1], "malformed"),
        ("manifest.json", lambda d: b"{", "not valid JSON"),
        ("manifest.json", lambda d: b"\xff", "not valid JSON"),
        ("manifest.json", lambda d: b"[" * 100_000, "not valid JSON"),
        ("manifest.json", lambda d: b"[1]", "schema is None"),
        ("manifest.json", lambda d: d.replace(b'"subject"', b'"created": "", "subject"'), "'created' occurs twice"),
        ("manifest.json", lambda d: d.replace(b"12.25", b"NaN"), "NaN is not a JSON number"),
        ("manifest.json", lambda d: d.replace(b"12.25", b"1e999"), "canonical"),
        ("manifest.json", lambda d: d.replace(b"12.25", b"12.250"), "canonical"),
        ("manifest.json", lambda d: d + b"\n", "canonical"),
        ("extra.txt", lambda d: b"x", "'extra.txt' is not listed"),
        ("images/09-x.png", lambda d: b"x", "'images/09-x.png' is not listed"),
    ],
)
def test_a_changed_file_is_named(good, name, change, words):
    assert re.search(words, refusal(changed(good, name, change(good.get(name, b"")))))


def test_all_faults_are_told_at_once(good):
    files = changed(changed(good, "extra.txt", b"x"), "images/00-source.png", None)
    files["embeddings.safetensors"] = files["embeddings.safetensors"][:-1] + b"\x01"
    faults = refusal(files, recogniser_sha256="01" * 32)
    for word in ("extra.txt", "00-source.png is missing", "embeddings.safetensors has SHA-256", "cd" * 32, "01" * 32):
        assert word in faults


def test_links_folders_and_special_files_are_refused_unread(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "copy")
    copy = tmp_path / "copy"
    (copy / "images/00-source.png").unlink()
    (copy / "images/00-source.png").symlink_to(bundle / "images/00-source.png")
    (copy / "more").mkdir()
    os.mkfifo(copy / "pipe")
    with pytest.raises(BundleError) as caught:
        verify_bundle(copy)
    faults = "\n".join(caught.value.faults)
    for words in ("'images/00-source.png' is a symbolic link", "'more' is a folder", "'pipe' is not a plain file"):
        assert words in faults
    (tmp_path / "link").symlink_to(bundle)
    with pytest.raises(BundleError, match="not a folder"):
        verify_bundle(tmp_path / "link")
    with pytest.raises(BundleError, match="not a folder"):
        verify_bundle(tmp_path / "absent")


def test_a_linked_folder_is_not_walked(bundle, tmp_path):
    shutil.move(bundle / "images", tmp_path / "elsewhere")
    (bundle / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="'images' is a symbolic link") as caught:
        verify_bundle(bundle)
    assert "images/00-source.png is missing" in caught.value.faults


def assert_flips_noticed(files: dict[str, bytes], bits_of) -> None:
    check_files(files)
    for name, data in files.items():
        for at in range(len(data)):
            for bit in bits_of(at):
                flipped = bytearray(data)
                flipped[at] ^= 1 << bit
                with pytest.raises(BundleError):
                    check_files({**files, name: bytes(flipped)})


SMALL = {"samples": (SOURCE, WARPED), "consent": None, "retention_until": None}


def test_a_flipped_bit_in_any_byte_is_noticed(tmp_path):
    """Every byte of every file of a small bundle, one bit each (bit n % 8 of byte n), no stride. The bytes are checked
    as `verify_bundle` checks them once the folder is read; `sdaug.soak.bundle_bits` flips bits on a disk."""
    assert_flips_noticed(tree(written(tmp_path / "b", **SMALL)), lambda at: [at % 8])


def test_a_flipped_bit_on_disk_is_noticed(bundle):
    for path in sorted(p for p in bundle.rglob("*") if p.is_file()):
        data = path.read_bytes()
        for at in (0, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with pytest.raises(BundleError):
                verify_bundle(bundle)
        path.write_bytes(data)
    assert verify_bundle(bundle).rows == 3


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5), st.integers())
def test_any_finite_number_survives_the_manifest(good, numbers, whole):
    manifest = json.loads(good["manifest.json"])
    manifest["policy"] = {"numbers": numbers, "whole": whole}
    data = canonical_json(manifest)
    assert parse_manifest(data).to_bytes() == data
    assert parse_manifest(data).policy["numbers"] == numbers


@pytest.mark.parametrize("pose", ANGLES)
def test_every_angle_of_the_product_has_a_role_that_fits(tmp_path, pose):
    role = f"yaw{pose.yaw_deg:+03.0f}_pitch{pose.pitch_deg:+03.0f}"
    bundle = written(tmp_path / "b", samples=(SOURCE, replace(WARPED, role=role, requested=pose)))
    assert (bundle / f"images/01-{role}.png").is_file()
    digests = {line.split("  ")[1]: line.split("  ")[0] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    for name, value in digests.items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == value
