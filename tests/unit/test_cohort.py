"""Other people: read from a folder, without the subject, and asked before a view is kept."""

import json
import logging
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from sdaug.bands import find_band
from sdaug.cohort import Cohort, CohortError, read_cohort, without_subject
from sdaug.photos import photo_path

WARP = ("--backend", "warp", "--num-angles", 1)


@pytest.fixture
def folder(tmp_path, astronaut):
    """The subject's own photo, twice, a photo of nobody, and a file that is no photo."""
    here = tmp_path / "people"
    here.mkdir()
    for name in ("a.png", "same_file.png"):
        shutil.copy(photo_path("astronaut"), here / name)
    Image.fromarray(np.full((300, 300, 3), 120, np.uint8)).save(here / "wall.png")
    (here / "notes.txt").write_text("not a photo")
    return here


def test_a_folder_is_read_once_a_file_and_what_has_no_face_is_counted_and_named(folder, embedded, astronaut, caplog):
    with caplog.at_level(logging.WARNING, "sdaug"):
        cohort = read_cohort(folder, embedded)
    assert cohort.sha256 == (astronaut.sha256,) and cohort.unusable == 1
    assert cohort.vectors["dlib_resnet"].shape == (1, 128)
    assert [r.message for r in caplog.records] == ["cohort photo wall.png is left out (no_face): no clear face"]


def test_a_folder_without_a_face_is_no_cohort(folder, embedded):
    for name in ("a.png", "same_file.png"):
        (folder / name).unlink()
    with pytest.raises(CohortError, match="no face in cohort folder .*: 1 photos there"):
        read_cohort(folder, embedded)
    with pytest.raises(CohortError, match="no face in cohort folder"):
        read_cohort(folder / "nowhere", embedded)


def test_the_subject_is_found_by_file_and_by_face_and_said_so(embedded, astronaut, astronaut_face, caplog):
    own = embedded.recognisers[0]
    source = own.embed(astronaut.pixels, astronaut_face)
    stranger, like = source + 1, source + np.eye(128, dtype=np.float32)[0] * 0.1
    assert own.similarity(source, stranger) < find_band(own.sha256).same_person < own.similarity(source, like)
    cohort = Cohort({own.name: np.stack([source, like, stranger, stranger])}, ("other", "", "", astronaut.sha256))
    with caplog.at_level(logging.WARNING, "sdaug"):
        others, facts = without_subject(cohort, embedded, astronaut.sha256, source)
    assert np.array_equal(others.vectors[own.name], stranger[None]) and others.sha256 == ("",)
    assert facts == {"people": 1, "left_out_as_the_subject": 3, "unusable": 0}
    assert [r.message for r in caplog.records] == ["3 of the cohort's 4 photos show the subject and are left out"]


def test_enrolled_templates_need_no_files(embedded, astronaut):
    vectors = {"dlib_resnet": np.ones((2, 128), np.float32)}
    others, facts = without_subject(Cohort(vectors), embedded, astronaut.sha256, np.zeros(128, np.float32))
    assert len(others.vectors["dlib_resnet"]) == facts["people"] == 2


def test_augment_says_that_the_cohort_was_the_subject_and_does_not_refuse_for_it(sdaug, folder, tmp_path):
    done = sdaug("augment", "astronaut", "--out", "o", "--cohort", folder, *WARP)
    assert done.code == 0 and "1 of the cohort's 1 photos show the subject" in done.err
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert manifest["source"]["cohort"] == {"people": 0, "left_out_as_the_subject": 1, "unusable": 1}
    assert "cohort" in manifest["angles"][0]["not_evaluated"] and "not evaluated: cohort" in done.out


def test_a_cohort_of_others_is_evaluated(sdaug, faces, tmp_path):
    here = tmp_path / "people"
    here.mkdir()
    shutil.copy(faces / "london" / "001_neutral.jpg", here)
    done = sdaug("augment", "astronaut", "--out", "o", "--cohort", here, *WARP)
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    angle = manifest["angles"][0]
    assert done.code == 0 and manifest["source"]["cohort"]["people"] == 1
    assert angle["not_evaluated"] == [] and angle["checks"]["cohort_best"] < angle["similarity"]["dlib_resnet"]
    assert "001_neutral" not in json.dumps(manifest), "a record names no cohort member"


def test_commands_refuse_a_folder_that_holds_no_cohort(sdaug, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for command in (("augment", "astronaut"), ("enrol", "astronaut", "--subject", "s1")):
        done = sdaug(*command, "--out", "o", "--cohort", empty, *WARP)
        assert done.code == 2 and "no face in cohort folder" in done.err and not (tmp_path / "o").exists()
    assert sdaug("augment", "astronaut", "--out", "o", "--cohort", tmp_path / "none").code == 2


def test_the_missions_rule_by_name_decides_and_the_other_is_recorded(sdaug, tmp_path):
    done = sdaug("augment", "astronaut", "--out", "o", "--gate-rule", "mission", *WARP)
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    angle = manifest["angles"][0]
    assert angle["reasons"] == angle["rules"]["mission"] and set(angle["rules"]) == {"mission", "sdaug"}
    assert manifest["acceptance"]["accepted"] == manifest["acceptance"]["mission_rule"]
    assert done.code == (0 if angle["accepted"] else 1)


def test_the_bundle_records_rule_and_cohort(sdaug, faces, tmp_path):
    here = tmp_path / "people"
    here.mkdir()
    shutil.copy(faces / "london" / "001_neutral.jpg", here)
    assert sdaug("enrol", "astronaut", "--subject", "s1", "--out", "b", "--cohort", here, *WARP).code == 0
    policy = json.loads((tmp_path / "b" / "manifest.json").read_text())["policy"]
    assert policy["cohort"] == {"people": 1, "left_out_as_the_subject": 0, "unusable": 0}
    assert policy["gate"]["rule"] == "sdaug" and "band" in policy["rule"] and policy["not_evaluated"] == []
    assert policy["acceptance"] == {"angles": 1, "accepted": 1, "sdaug_rule": 1, "mission_rule": 0}


def test_a_reframed_copy_of_the_photo_is_still_the_subject(embedded, astronaut, astronaut_face):
    own = embedded.recognisers[0]
    small = cv2.resize(astronaut.pixels, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    vector = own.embed(small, embedded.largest(small))
    source = own.embed(astronaut.pixels, astronaut_face)
    _, facts = without_subject(Cohort({own.name: vector[None]}), embedded, "", source)
    assert facts["left_out_as_the_subject"] == 1
