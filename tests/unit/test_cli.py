"""The commands as a person or a script meets them: files, figures, exit status 0, 1 or 2."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from sdaug.cli import COMMANDS
from sdaug.enrolment.marking import decode_png
from sdaug.enrolment.verify import load_embeddings, verify_bundle
from sdaug.face.photo import photo_from_array, read_photo
from sdaug.output import OutputError, check_free, write_augmentation
from sdaug.types import ANGLES, Reason

WARP = ("--backend", "warp")


def conforms(value, shape, place="manifest"):
    """Whether JSON has the shape: a type, a tuple of choices, [each item], {key: shape}, {str: every value}."""
    if isinstance(shape, tuple):
        failures = []
        for choice in shape:
            try:
                return conforms(value, choice, place)
            except AssertionError as failure:
                failures.append(str(failure))
        raise AssertionError("; ".join(failures))
    if isinstance(shape, list):
        assert isinstance(value, list), f"{place} is {value!r}, expected a list"
        for number, item in enumerate(value):
            conforms(item, shape[0], f"{place}[{number}]")
    elif isinstance(shape, dict):
        assert isinstance(value, dict), f"{place} is {value!r}, expected a mapping"
        for key, inner in shape.items():
            for name in value if key is str else [key]:
                assert name in value, f"{place} lacks {name!r}"
                conforms(value[name], inner, f"{place}.{name}")
    elif shape is None:
        assert value is None, f"{place} is {value!r}, expected null"
    else:
        expected = (int, float) if shape is float else shape
        assert isinstance(value, expected) and not (isinstance(value, bool) and shape is not bool), (
            f"{place} is {value!r}, expected {shape.__name__}"
        )


REQUESTED = {"yaw_deg": float, "pitch_deg": float}
MEASURED = (None, REQUESTED | {"roll_deg": float})
QUALITY = {str: {"raw": float, "scalar": float}}
JUDGEMENT = {
    "measured": MEASURED, "similarity": {str: float}, "quality": QUALITY, "accepted": bool, "reasons": [str],
    "not_evaluated": [str], "checks": {str: (float, None)}, "rules": {str: [str]},
}  # fmt: skip
ANGLE = JUDGEMENT | {
    "index": int, "image": (None, str), "requested": REQUESTED, "rung": str, "latency_s": float, "degraded": [str],
    "raw": (None, JUDGEMENT | {"similarity_at_requested_landmarks": {str: float}, "pixels_sha256": str}),
}  # fmt: skip
MANIFEST = {
    "schema": str,
    "source": {"sha256": str, "width_px": int, "height_px": int, "face_box": [float], "confidence": float,
               "pose": MEASURED, "quality": QUALITY},
    "pack": {"name": str, "detector": str, "recognisers": [str], "files": {str: str}},
    "generator": {"backend": str, "settings": {"num_angles": int, "num_inference_steps": int, "guidance_scale": float,
                                               "controlnet_conditioning_scale": float, "strength": float, "seed": int}},
    "angles": [ANGLE],
    "acceptance": {"angles": int, "accepted": int, "sdaug_rule": int, "mission_rule": int},
    "timings": dict.fromkeys(("detect_s", "import_s", "load_s", "stage_s", "angles_s", "total_s"), float),
    "memory": {"resident": int, "resident_peak": (int, None), "cuda_allocated_peak": (int, None)},
    "environment": dict,
}  # fmt: skip


def check_manifest(folder: Path) -> dict:
    """The manifest in `folder`, after everything it says has been held against the files beside it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    conforms(manifest, MANIFEST)
    assert manifest["schema"] == "sdaug.augment/1"
    known = {reason.value for reason in Reason}
    for number, angle in enumerate(manifest["angles"]):
        assert angle["index"] == number
        assert angle["requested"] == {"yaw_deg": ANGLES[number].yaw_deg, "pitch_deg": ANGLES[number].pitch_deg}
        assert angle["rung"] in ("diffusion", "diffusion_reduced", "warp", "refused")
        assert angle["accepted"] == (angle["rung"] != "refused") == (angle["reasons"] == [])
        assert angle["image"] == (f"{number:02d}.png" if angle["accepted"] else None)
        assert set(angle["reasons"] + angle["degraded"]) <= known
        assert all(0 <= score["scalar"] <= 1 for score in angle["quality"].values())
        assert angle["latency_s"] > 0
    pictures = {angle["image"] for angle in manifest["angles"]} - {None}
    assert {path.name for path in folder.iterdir()} == pictures | {"manifest.json"}
    for name in pictures:
        pixels, mark = decode_png((folder / name).read_bytes())
        assert pixels.shape == (512, 512, 3)
        assert mark["parent_sha256"] == manifest["source"]["sha256"]
        angle = manifest["angles"][int(name[:2])]
        assert mark["rung"] == angle["rung"] and mark["origin"] == (
            "generated" if angle["rung"].startswith("diffusion") else "classical"
        )
    return manifest


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def small_photo(astronaut, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "portrait.jpg"
    Image.fromarray(astronaut.pixels).save(path, quality=95)
    return path


# -- help and wrong use


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(sdaug, command):
    done = sdaug(command, "--help")
    assert done.code == 0 and done.out.startswith("Usage: ") and len(done.out.splitlines()) > 5


def test_the_command_lists_all_commands(sdaug):
    done = sdaug("--help")
    assert done.code == 0 and all(f"  {name} " in done.out for name in COMMANDS)
    assert sdaug("--version").code == 0


def test_the_package_runs_as_the_command():
    done = subprocess.run([sys.executable, "-m", "sdaug", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and "sdaug" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["augmnt"], "did you mean 'augment'"),
        (["augment", "astronaut"], "--out"),
        (["augment", "--out", "o"], "PHOTO"),
        (["augment", "astronot", "--out", "o"], "'astronot' does not exist"),
        (["augment", "astronaut", "--out", "o", "--num-angles", "11"], "11"),
        (["augment", "astronaut", "--out", "o", "--num-angles", "0"], "0"),
        (["augment", "astronaut", "--out", "o", "--backend", "wrap"], "wrap"),
        (["augment", "astronaut", "--out", "o", "--pack", "embeded", *WARP], "did you mean 'embedded'"),
        (["augment", "astronaut", "--out", "o", "--face", "biggest", *WARP], "'biggest'"),
        (["augment", "astronaut", "--out", "o", "--seed", "-1"], "-1"),
        (["enrol", "--subject", "s", "--out", "o"], "PHOTO"),
        (["enrol", "astronaut", "--out", "o"], "--subject"),
        (["verify", "no-such-folder"], "no-such-folder"),
        (["sweep", "no-such-file.yaml"], "no-such-file.yaml"),
        (["report", "no-such-experiment", "--out", "r.html"], "sdaug sweep"),
    ],
)
def test_wrong_use_is_exit_status_2_with_its_reason_and_no_file(sdaug, tmp_path, arguments, message):
    done = sdaug(*arguments)
    assert done.code == 2 and message in done.err and done.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_process_gives_help_without_loading_a_network():
    code = (
        "import sys\n"
        "from sdaug.cli import main\n"
        "try: main(['augment', '--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "assert not {'torch', 'diffusers', 'mediapipe', 'mlflow', 'onnxruntime'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- augment


def test_augment_writes_pictures_and_a_manifest_with_every_key(sdaug, tmp_path, warp_record):
    done = sdaug("augment", "astronaut", "--out", "poses", "--num-angles", 3, *WARP)
    assert done.code == 0 and "3 of 3 accepted, in poses" in done.out
    manifest = check_manifest(tmp_path / "poses")
    assert [angle["rung"] for angle in manifest["angles"]] == ["warp"] * 3
    for angle, expected in zip(manifest["angles"], warp_record.angles, strict=False):
        assert np.array_equal(read_photo(tmp_path / "poses" / angle["image"]).pixels, expected.image)
        assert angle["similarity"]["dlib_resnet"] == pytest.approx(
            expected.judgement.similarity["dlib_resnet"], abs=1e-6
        )
    assert [p.name for p in tmp_path.iterdir()] == ["poses"], "nothing else is left behind"
    assert tmp_path.joinpath("poses").stat().st_mode & 0o777 == 0o755

    again = sdaug("augment", "astronaut", "--out", "poses", "--num-angles", 1, "--json", *WARP)
    assert again.code == 0 and json.loads(again.out) == check_manifest(tmp_path / "poses")
    assert sorted(p.name for p in (tmp_path / "poses").iterdir()) == ["00.png", "manifest.json"]


@pytest.mark.slow
def test_augment_with_the_random_model_shows_what_it_refused(sdaug, tmp_path):
    done = sdaug("augment", "astronaut", "--out", "o", "--num-angles", 1, "--model", "random", "--device", "cpu")
    assert done.code == 0
    manifest = check_manifest(tmp_path / "o")
    (angle,) = manifest["angles"]
    assert angle["rung"] == "warp" and angle["raw"]["accepted"] is False and angle["degraded"]
    assert manifest["generator"]["model"]["random"] is True


def test_missing_weights_are_named_and_with_strict_they_are_a_failure(sdaug, tmp_path):
    done = sdaug("augment", "astronaut", "--out", "o", "--num-angles", 1, "--model", "./none", "--device", "cpu")
    assert done.code == 0 and "weights_missing" in done.out and "./none" in done.err
    assert check_manifest(tmp_path / "o")["angles"][0]["degraded"] == ["weights_missing"]
    strict = sdaug("augment", "astronaut", "--out", "s", "--model", "./none", "--device", "cpu", "--strict")
    assert strict.code == 1 and "weights_missing" in strict.err and not (tmp_path / "s").exists()


def test_refused_angles_stay_in_the_list_and_nothing_accepted_is_exit_status_1(sdaug, tmp_path, astronaut):
    """A photo too dark for the gate still gives a manifest, and no picture."""
    dark = tmp_path / "dark.png"
    Image.fromarray((astronaut.pixels * 0.2).astype(np.uint8)).save(dark)
    done = sdaug("augment", dark, "--out", "o", "--num-angles", 2, *WARP)
    assert done.code == 1 and "0 of 2 accepted" in done.out and "too_dark" in done.out
    manifest = check_manifest(tmp_path / "o")
    assert [(a["image"], a["rung"]) for a in manifest["angles"]] == [(None, "refused")] * 2
    assert all("too_dark" in angle["reasons"] for angle in manifest["angles"])


def test_several_faces_want_a_choice(sdaug, tmp_path, astronaut):
    Image.fromarray(np.concatenate([astronaut.pixels, astronaut.pixels], axis=1)).save(tmp_path / "two.png")
    refused = sdaug("augment", "two.png", "--out", "o", *WARP)
    assert refused.code == 1 and "two.png refused (multiple_faces)" in refused.err and "'largest'" in refused.err
    assert not (tmp_path / "o").exists()
    chosen = sdaug("augment", "two.png", "--out", "o", "--face", 1, "--num-angles", 1, *WARP)
    assert chosen.code == 0 and check_manifest(tmp_path / "o")["source"]["face_box"][0] > 512


@pytest.mark.parametrize("occupant", ["notes.txt", "manifest.json"])
def test_a_folder_that_is_not_ours_is_refused_and_left_alone(sdaug, tmp_path, occupant):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / occupant).write_text('{"schema": "another/1"}')
    done = sdaug("augment", "astronaut", "--out", "mine", "--num-angles", 1, *WARP)
    assert done.code == 2 and "mine is not empty" in done.err
    assert tree(folder) == {occupant: b'{"schema": "another/1"}'}
    (tmp_path / "file").write_text("x")
    assert sdaug("augment", "astronaut", "--out", "file", "--num-angles", 1, *WARP).code == 2
    assert (tmp_path / "file").read_text() == "x"


def test_an_empty_folder_will_do_and_parents_are_made(tmp_path, warp_record):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        assert write_augmentation(out, warp_record) == out
        check_manifest(out)


def test_a_strangers_file_beside_an_earlier_augmentation_is_not_deleted(tmp_path, warp_record):
    write_augmentation(tmp_path / "o", warp_record)
    (tmp_path / "o" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="notes.txt"):
        write_augmentation(tmp_path / "o", warp_record)
    assert (tmp_path / "o" / "notes.txt").read_text() == "mine"


def test_a_link_to_a_folder_is_refused(tmp_path, warp_record):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OutputError):
        write_augmentation(tmp_path / "link", warp_record)


def test_a_write_that_fails_leaves_the_earlier_augmentation_whole(tmp_path, warp_record, monkeypatch):
    from sdaug import output

    write_augmentation(tmp_path / "o", warp_record)
    before = tree(tmp_path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(output, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        write_augmentation(tmp_path / "o", warp_record)
    assert tree(tmp_path) == before and [p.name for p in tmp_path.iterdir()] == ["o"]


def test_a_manifest_never_holds_what_is_no_number(tmp_path, warp_record):
    from dataclasses import replace

    broken = replace(warp_record, timings={"total_s": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_augmentation(tmp_path / "o", broken)
    assert list(tmp_path.iterdir()) == []
    check_free(tmp_path / "o")


INVALID = {
    "corrupted.png": {"unreadable_image", "unsupported_format"},
    "empty.png": {"unreadable_image", "unsupported_format"},
    "many_faces.jpg": {"multiple_faces"},
    "no_face.jpg": {"no_face"},
    "truncated.jpg": {"unreadable_image"},
    "two_faces.jpg": {"multiple_faces"},
}
"""What each file of the local folder `invalid` must be refused for (the first two are no images at all)."""


@pytest.mark.parametrize("name", INVALID)
def test_every_invalid_file_is_refused_for_its_own_reason(sdaug, tmp_path, faces, name):
    assert {path.name for path in (faces / "invalid").iterdir()} == set(INVALID)
    done = sdaug("augment", faces / "invalid" / name, "--out", "o", *WARP)
    assert done.code == 1 and done.out == ""
    said = [reason for reason in INVALID[name] if f"{name} refused ({reason})" in done.err]
    assert len(said) == 1, done.err
    assert list(tmp_path.iterdir()) == []


def test_augment_with_the_insightface_pack(sdaug, tmp_path, faces, arcface):
    photo = faces / "london" / "001_neutral.jpg"
    folder = arcface.recognisers[0]._network.model_file
    done = sdaug("augment", photo, "--out", "o", "--num-angles", 5, "--pack", Path(folder).parent, *WARP)
    assert done.code == 0
    manifest = check_manifest(tmp_path / "o")
    for angle in manifest["angles"]:
        assert list(angle["similarity"]) == sorted(["arcface", "dlib_resnet"])
        for axis in ("yaw_deg", "pitch_deg"):
            assert angle["requested"][axis] * angle["measured"][axis] >= angle["requested"][axis] ** 2 / 2
    assert manifest["pack"]["recognisers"] == ["arcface", "dlib_resnet"]
    assert "001" not in json.dumps(manifest["source"]), "the file's name is not written"


# -- enrol and verify


@pytest.fixture
def enrolled(sdaug, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    done = sdaug("enrol", "astronaut", "--subject", "s-1", "--out", "bundle", "--num-angles", 2, "--json", *WARP)
    assert done.code == 0, done.err
    assert json.loads(done.out) == {
        "rows": 3, "dim": 128, "recogniser": "dlib_resnet", "by_origin": json.loads(done.out)["by_origin"],
    }  # fmt: skip
    return tmp_path / "bundle"


def test_enrol_makes_a_bundle_that_verifies(sdaug, enrolled, astronaut, embedded):
    done = sdaug("verify", enrolled)
    assert done.code == 0 and done.out.startswith("sound: 3 vectors by dlib_resnet")
    figures = json.loads(sdaug("verify", enrolled, "--json").out)
    assert figures["by_origin"]["captured"] == 1 and figures["by_origin"]["classical"] == 2
    sha256 = embedded.recognisers[0].sha256
    assert sdaug("verify", enrolled, "--recogniser-sha256", sha256).code == 0
    other = sdaug("verify", enrolled, "--recogniser-sha256", "0" * 64)
    assert other.code == 1 and "recogniser" in other.err

    vectors, manifest = load_embeddings(enrolled)
    own = embedded.recognisers[0]
    source = own.embed(astronaut.pixels, embedded.faces(astronaut.pixels)[0])
    assert np.allclose(vectors[0], source, atol=1e-5), "the photo's own vector comes first"
    assert manifest.subject == "s-1" and all(own.similarity(source, row) > 0 for row in vectors[1:])
    assert all(name not in json.dumps(manifest.model_dump(mode="json")) for name in ("astronaut", str(Path.home())))


@pytest.mark.parametrize("file", ["embeddings.safetensors", "manifest.json", "SHA256SUMS", "images"])
def test_one_flipped_byte_anywhere_is_found(sdaug, enrolled, file):
    path = enrolled / file if file != "images" else sorted((enrolled / file).iterdir())[-1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    done = sdaug("verify", enrolled)
    assert done.code == 1 and done.err.startswith("Error: ") and done.out == ""


def test_enrol_repeats_byte_for_byte_and_overwrites_only_when_told(sdaug, enrolled):
    before = tree(enrolled)
    arguments = ("enrol", "astronaut", "--subject", "s-1", "--out", "bundle", "--num-angles", 2, *WARP)
    kept = sdaug(*arguments)
    assert kept.code == 2 and "is not empty" in kept.err and tree(enrolled) == before
    assert sdaug(*arguments, "--overwrite").code == 0

    def without_measurements(files):
        return {name: data for name, data in files.items() if name not in ("manifest.json", "SHA256SUMS")}

    assert without_measurements(tree(enrolled)) == without_measurements(before)


def test_an_unusable_subject_or_photo_leaves_nothing(sdaug, tmp_path):
    assert sdaug("enrol", "astronaut", "--subject", "a/b", "--out", "o", "--num-angles", 1, *WARP).code == 2
    Image.new("RGB", (300, 300), (90, 90, 90)).save(tmp_path / "grey.png")
    refused = sdaug("enrol", "astronaut", "grey.png", "--subject", "s", "--out", "o", "--num-angles", 1, *WARP)
    assert refused.code == 1 and "no_face" in refused.err
    assert [p.name for p in tmp_path.iterdir()] == ["grey.png"]


def test_a_sweeps_choice_can_be_enrolled_with(sdaug, tmp_path):
    chosen = {"key": "k", "why": "w", "settings": {"backend": "warp", "generation": {"num_angles": 1}}}
    (tmp_path / "chosen.json").write_text(json.dumps(chosen))
    assert sdaug("enrol", "astronaut", "--subject", "s", "--out", "o", "--chosen", "chosen.json").code == 0
    assert verify_bundle(tmp_path / "o").rows == 2


def test_where_no_setting_passed_the_photo_is_enrolled_alone(sdaug, tmp_path):
    chosen = {"key": None, "why": "none passed", "settings": {"backend": "none", "pack": "embedded"}}
    (tmp_path / "chosen.json").write_text(json.dumps(chosen))
    done = sdaug("enrol", "astronaut", "--subject", "s", "--out", "o", "--chosen", "chosen.json")
    assert done.code == 0 and "none passed; the photo is enrolled alone" in done.err
    report = verify_bundle(tmp_path / "o")
    assert report.rows == 1 and report.by_origin["captured"] == 1
    content = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert content["policy"]["acceptance"]["angles"] == 0 and content["generator"]["backend"] == "none"


def test_enrol_with_strict_fails_as_augment_does(sdaug, tmp_path):
    done = sdaug("enrol", "astronaut", "--subject", "s", "--out", "o", "--model", "./none", "--strict")
    assert done.code == 1 and "weights_missing" in done.err and not (tmp_path / "o").exists()


def test_the_chosen_face_is_the_one_enrolled(sdaug, tmp_path, embedded, astronaut):
    """The same woman large and her mirror image small: the smaller, on the right, is asked for."""
    small = cv2.resize(np.ascontiguousarray(astronaut.pixels[:, ::-1]), (400, 400), interpolation=cv2.INTER_AREA)
    both = np.full((512, 912, 3), 127, np.uint8)
    both[:, :512], both[:400, 512:] = astronaut.pixels, small
    Image.fromarray(both).save(tmp_path / "two.png")
    done = sdaug("enrol", "two.png", "--face", 1, "--subject", "s", "--out", "o", "--num-angles", 1, *WARP)
    assert done.code == 0
    (own,) = embedded.recognisers
    left, right = sorted(embedded.faces(photo_from_array(both).pixels), key=lambda face: face.box[0])
    stored = load_embeddings(tmp_path / "o")[0][0]
    assert own.similarity(stored, own.embed(both, right)) > own.similarity(stored, own.embed(both, left))


# -- sweep and report


def write_experiment(folder: Path, root: Path, **changes) -> Path:
    content = {
        "experiment": "tiny", "photo": "astronaut", "notebook": str(root / "notebooks" / "sweep.ipynb"),
        "base": {"model": {"model_id": "random", "device": "cpu"}},
        "grid": {"levers.precision.dtype": ["float32", "bfloat16"], "generation.num_angles": [1, 2, 3]},
    }  # fmt: skip
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False))
    return path


def test_a_dry_run_prints_every_cell_and_runs_none(sdaug, tmp_path, root):
    done = sdaug("sweep", write_experiment(tmp_path, root), "--dry-run")
    assert done.code == 0 and "6 cells, 6 to run in 2 kernels" in done.err
    lines, predicted = (part.splitlines() for part in done.out.split("\n\n"))
    assert len(lines) == 6 == len({line.split()[0] for line in lines})
    wanted = ["astronaut", "seed=0", "levers.precision.dtype=bfloat16", "generation.num_angles=2"]
    assert lines[4].split()[1:] == wanted
    assert len(predicted) == 7 and all("1 cell, not predicted: the small random" in line for line in predicted[1:])
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"levers.precison.dtype": ["float32"]}}, "did you mean 'precision'"),
        ({"grid": {"generation.num_inference_stepps": [2]}}, "did you mean 'num_inference_steps'"),
        ({"repeat": 2}, "did you mean 'repeats'"),
        ({"photo": "astronot"}, "'astronot' does not exist"),
    ],
)
def test_a_misspelt_experiment_stops_before_anything_runs(sdaug, tmp_path, root, changes, message):
    done = sdaug("sweep", write_experiment(tmp_path, root, **changes))
    assert done.code == 2 and message in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


def test_many_cells_want_a_yes(sdaug, tmp_path, root):
    done = sdaug("sweep", write_experiment(tmp_path, root), "--confirm-above", 5)
    assert done.code == 2 and "6 cells are more than 5; --yes" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_notebook_without_our_parameters_is_a_wrong_use(sdaug, tmp_path, root):
    notebook = json.loads((root / "notebooks" / "sweep.ipynb").read_text())
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = [line.replace("repeats", "repeat") for line in cell["source"]]
    (tmp_path / "other.ipynb").write_text(json.dumps(notebook))
    file = write_experiment(tmp_path, root, notebook=str(tmp_path / "other.ipynb"))
    uncompared = sdaug("sweep", file)
    assert uncompared.code == 2 and "'notebooks/compare.ipynb', which compares" in uncompared.err
    (tmp_path / "notebooks").mkdir()
    shutil.copy(root / "notebooks" / "compare.ipynb", tmp_path / "notebooks")
    done = sdaug("sweep", file)
    assert done.code == 2 and "repeat" in done.err


def test_logging_is_one_logger_without_faces_names_or_vectors(tmp_path, root, small_photo):
    """In a process of its own, as loud as can be."""
    arguments = ["-v", "augment", str(small_photo), "--out", str(tmp_path / "o"), "--num-angles", "1", *WARP]
    code = "import sys; from sdaug.cli import main; main(sys.argv[1:])"
    environment = {name: value for name, value in os.environ.items() if name != "SDAUG_FACE_PACK"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0 and "1 of 1 accepted" in done.stdout
    assert "portrait" not in done.stderr + done.stdout and "Traceback" not in done.stderr
    quiet = subprocess.run(
        [sys.executable, "-c", code, "-q", *arguments[1:-2], "--model", "./none"],
        capture_output=True, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert quiet.returncode == 0 and "sdaug" not in quiet.stderr and "no diffusion" not in quiet.stderr


def test_the_current_folder_is_never_replaced(sdaug, tmp_path):
    for out in (".", ""):
        done = sdaug("augment", "astronaut", "--out", out, "--num-angles", 1, *WARP)
        assert done.code == 2 and "current folder" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_a_message_and_no_traceback(sdaug, tmp_path):
    (tmp_path / "file").write_text("x")
    done = sdaug("augment", "astronaut", "--out", "file/inside", "--num-angles", 1, *WARP)
    assert done.code == 1 and "file" in done.err and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_chosen_settings_are_not_mixed_with_options(sdaug, tmp_path):
    chosen = {"key": "k", "why": "w", "settings": {"backend": "warp"}}
    (tmp_path / "chosen.json").write_text(json.dumps(chosen))
    done = sdaug("enrol", "astronaut", "--subject", "s", "--out", "o", "--chosen", "chosen.json", "--num-angles", 1)
    assert done.code == 2 and "num_angles" in done.err
    (tmp_path / "chosen.json").write_text("no json")
    done = sdaug("enrol", "astronaut", "--subject", "s", "--out", "o", "--chosen", "chosen.json")
    assert done.code == 2 and "chosen.json is not a sweep" in done.err
