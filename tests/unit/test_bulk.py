"""A folder of people to a bundle each: nobody twice, nobody lost, whoever fails is a row."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdaug import bulk
from sdaug.bulk import BulkError, enrolments, read_row, run_bulk, subjects_in, to_do
from sdaug.config import RunSettings
from sdaug.enrolment.bundle import Terms
from sdaug.enrolment.verify import verify_bundle
from sdaug.executors import WorkersLost, executor
from sdaug.photos import photo_path

WARP = RunSettings.model_validate({"backend": "warp", "generation": {"num_angles": 1}})


@pytest.fixture
def people(tmp_path) -> Path:
    """Ada has a folder of one photo, bea a photo alone, and nobody is a grey wall."""
    folder = tmp_path / "people"
    (folder / "ada").mkdir(parents=True)
    photo = photo_path("astronaut")
    shutil.copy(photo, folder / "ada" / "1.png")
    Image.open(photo).convert("RGB").save(folder / "bea.jpg", quality=95)
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(folder / "wall.png")
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden").mkdir()
    return folder


def tasks(people: Path, settings: RunSettings = WARP, **options) -> list[bulk.Enrolment]:
    return enrolments(subjects_in(people), settings, people.parent / "out", **options)


def states(rows: list[dict]) -> dict[str, str]:
    return {row["subject"]: row["status"] for row in rows}


def bundle_only(task: bulk.Enrolment) -> None:
    """In place of a bundle: what tells whether it was touched."""
    task.bundle.mkdir(parents=True, exist_ok=True)
    (task.bundle / "made").write_text("x")


@pytest.fixture
def quick(monkeypatch):
    """Enrolling without a model: bundles of nothing. The list says who was."""
    done: list[str] = []

    def enrol(task: bulk.Enrolment) -> None:
        done.append(task.subject)
        bundle_only(task)
        bulk._write(task, "enrolled", rows=1)

    monkeypatch.setattr(bulk, "_enrol", enrol)
    return done


def test_a_sub_folder_or_a_photo_is_a_subject(people):
    found = subjects_in(people)
    assert {subject: [Path(p).name for p in photos] for subject, photos in found.items()} == {
        "ada": ["1.png"], "bea": ["bea.jpg"], "wall": ["wall.png"],
    }  # fmt: skip


def test_who_comes_twice_or_has_no_photo_is_named(people):
    shutil.copy(people / "bea.jpg", people / "bea.png")
    (people / "empty").mkdir()
    with pytest.raises(BulkError, match=r"'empty' holds no photo.*subject 'bea' comes 2 times: bea.jpg, bea.png"):
        subjects_in(people)
    with pytest.raises(BulkError, match="neither a photo nor a sub-folder"):
        subjects_in(people / ".hidden")
    with pytest.raises(BulkError, match="is no folder"):
        subjects_in(people / "nowhere")


def test_a_name_that_is_no_id_is_refused_before_anybody_is_enrolled(people):
    (people / "bea.jpg").rename(people / "bea .jpg")
    with pytest.raises(BulkError, match=r"subject 'bea ' must be an opaque id"):
        subjects_in(people)


def test_everybody_is_a_bundle_or_a_row_with_the_reason(people):
    rows = run_bulk(tasks(people))
    assert states(rows) == {"ada": "enrolled", "bea": "enrolled", "wall": "refused"}
    assert rows[2]["reason"] == "no_face"
    for row in rows[:2]:
        report = verify_bundle(people.parent / "out" / "bundles" / row["subject"])
        assert report.subject == row["subject"] and report.rows == row["rows"] >= 1
    assert not (people.parent / "out" / "bundles" / "wall").exists()
    assert json.loads((people.parent / "out" / "enrolled.json").read_text())["subjects"] == rows
    assert to_do(tasks(people)) == [], "who is done, refused or not, is not done again"
    assert bulk._LOADED == {}, "the model is let go"


def test_what_failed_is_a_row_and_is_tried_again(people, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(bulk, "enrol_records", fails)
    shutil.rmtree(people / "ada")
    rows = run_bulk(tasks(people))
    assert states(rows) == {"bea": "failed", "wall": "refused"} and rows[0]["error"] == "RuntimeError: out of luck"
    assert [task.subject for task in to_do(tasks(people))] == ["bea"]


def test_other_photos_or_settings_want_overwrite(people, quick):
    run_bulk(tasks(people))
    other = WARP.model_copy(update={"min_source_face_px": 61.0})
    with pytest.raises(BulkError, match=r"3 bundles in .* are of other photos, settings.*\(ada, bea, wall\)"):
        tasks(people, other)
    assert len(to_do(tasks(people, other, overwrite=True))) == 3 and to_do(tasks(people)) == []
    shutil.copy(photo_path("astronaut"), people / "wall.png")
    with pytest.raises(BulkError, match=r"1 bundles .*\(wall\)"):
        tasks(people)


def test_a_bundle_that_is_not_ours_is_left_alone_and_a_half_made_one_is_not(people, quick):
    ada, bea, _ = tasks(people)
    bundle_only(ada)
    with pytest.raises(BulkError, match=r"\(ada\)"):
        tasks(people)
    bulk._write(ada, "started")  # as a kill leaves it
    run_bulk([bea])
    quick.clear()
    assert states(run_bulk(tasks(people))) == dict.fromkeys(("ada", "bea", "wall"), "enrolled")
    assert quick == ["ada", "wall"]


def test_a_subject_that_ends_its_process_is_a_failed_row(people, quick):
    def loses_the_first(function, given):
        yield from map(function, given[1:])
        raise WorkersLost(given[:1])

    rows = run_bulk(tasks(people), loses_the_first)
    assert states(rows) == {"ada": "failed", "bea": "enrolled", "wall": "enrolled"}
    assert rows[0]["error"] == "whatever process ran it was killed"


def test_keys_are_not_sent_to_workers(people):
    with pytest.raises(BulkError, match="keys are not sent to workers"):
        tasks(people, terms=Terms(key=bytes(32)))


SCRIPT = """
import sys; from pathlib import Path
from sdaug.bulk import *; from sdaug.config import RunSettings
people = Path(sys.argv[1])
settings = RunSettings.model_validate({"backend": "warp", "generation": {"num_angles": 1}})
run_bulk(enrolments(subjects_in(people), settings, people.parent / "out"))
"""


def test_killed_in_the_middle_it_goes_on_where_it_was_on_any_executor(people):
    first, second, last = tasks(people)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(people)])
    until = time.monotonic() + 120
    while (read_row(second) or {}).get("status") != "started" and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_row(first)["status"] == "enrolled" and read_row(last) is None
    before = (first.bundle / "manifest.json").read_bytes()
    assert [task.subject for task in to_do(tasks(people))] == ["bea", "wall"]
    rows = run_bulk(tasks(people), executor("loky", jobs=2))
    assert states(rows) == {"ada": "enrolled", "bea": "enrolled", "wall": "refused"}
    assert (first.bundle / "manifest.json").read_bytes() == before


def test_a_sweeps_choice_is_taken_and_mixed_with_nothing(people, sdaug, tmp_path):
    shutil.rmtree(people / "ada")
    settings = {"backend": "warp", "generation": {"num_angles": 1}}
    chosen = tmp_path / "chosen.json"
    chosen.write_text(json.dumps({"key": "k", "why": "w", "settings": settings}))
    arguments = ["enrol-folder", people, "--out", tmp_path / "o", "--chosen", chosen, "--json"]
    mixed = sdaug(*arguments, "--num-angles", 3)
    assert mixed.code == 2 and "--chosen brings its own settings; leave out num_angles" in mixed.err
    done = sdaug(*arguments)
    assert json.loads(done.out) == {"enrolled": 1, "refused": 1, "failed": 0}
    assert verify_bundle(tmp_path / "o/bundles/bea").rows == 2, "the photo and the one angle that was chosen"


def test_the_command_says_who_was_not_enrolled(people, sdaug, tmp_path):
    out = tmp_path / "out"
    arguments = ["enrol-folder", people, "--out", out, "--backend", "warp", "--num-angles", 1, "--json"]
    done = sdaug(*arguments)
    assert done.code == 1 and json.loads(done.out) == {"enrolled": 2, "refused": 1, "failed": 0}
    assert "3 subjects, 3 to enrol" in done.err and "refused: wall: no_face" in done.err
    again = sdaug(*arguments)
    assert again.code == 1 and "3 subjects, 0 to enrol" in again.err
    shutil.copy(people / "bea.jpg", people / "bea.png")
    twice = sdaug(*arguments)
    assert twice.code == 2 and "bea.jpg, bea.png" in twice.err
