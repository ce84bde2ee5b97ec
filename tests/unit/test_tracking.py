"""What MLflow is told of a sweep: every setting and cell, nobody's face or name unless asked for, never half."""

import json
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from sdaug import tracking
from sdaug.compare import Choice
from sdaug.config import RunSettings
from sdaug.shown import Shown
from sdaug.tracking import PARENT_TAG, SETTING_TAG, log_sweep, read_recipe, read_runs

SIGNATURES = {
    b"\x89PNG\r\n": "PNG", b"\xff\xd8\xff": "JPEG", b"WEBPVP8": "WebP",
    b"iVBORw0KGgo": "PNG in base64", b"/9j/": "JPEG in base64", b"UklGR": "WebP in base64",
}  # fmt: skip
NAMES = ("Ada Lovelace", "bea-42")
PHOTOS = {"Ada Lovelace": "/photos/Zoë Countess/front.jpg", "bea-42": "/photos/Beatrice Smith.jpg"}
GONE = ("Dora Doe", "/photos/Dora's.jpg")
TELLING = (*NAMES, "Countess", "Beatrice", "Smith", "Cleopatra", "Dora")
"""What says who somebody is: names, and what their photos and the subject are called."""
CHOICE = Choice("fast", "it was the fastest")


def finished(key: str, setting: str, person: str, seed: int) -> dict:
    angle = {
        "index": 0, "requested": {"yaw_deg": 0.0, "pitch_deg": 0.0}, "measured": None, "rung": "warp", "latency_s": 0.1,
        "accepted": True, "reasons": [], "similarity": {"dlib_resnet": 0.5}, "raw": None,
    }  # fmt: skip
    return {
        "schema": "sdaug.cell/5", "key": key, "setting": setting, "person": person, "seed": seed, "status": "finished",
        "device": "a board on a host", "settings": RunSettings(backend="warp").model_dump(mode="json"),
        "latency_s": {"import": 0.0, "load": 1.0, "first_call": 2.0, "call": [1.0]},
        "record": {
            "angles": [angle],
            "pack": {"name": "embedded", "recognisers": ["dlib_resnet"], "files": {"a.dat": "0" * 64}},
            "memory": {"resident_peak_sampled": 10**9, "cuda_allocated_peak": None}, "generator": {},
            "source": {"sha256": "5" * 64}, "stages": {"warp": {"total_s": 0.5}},
            "environment": {"gpu": None, "processor": "a processor", "packages": {"sdaug": "1"}},
        },
    }  # fmt: skip


@pytest.fixture
def swept(tmp_path):
    """swept(log_images): (root, folder, results) of two settings on two people, one cell failed, with pictures."""

    def make(log_images: bool):
        out = tmp_path / "out"
        results = [finished(f"{s}-{i}", s, name, 0) for s in ("fast", "slow") for i, name in enumerate(NAMES)]
        results[3] = {k: results[3][k] for k in ("schema", "key", "setting", "person", "seed", "settings")}
        results[3] |= {"status": "failed", "error": f"FileNotFoundError: photo '{PHOTOS[NAMES[1]]}' does not exist"}
        for result in results:
            folder = out / "cells" / result["key"]
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(json.dumps(result))
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "contact.png")
        # As papermill writes what it injects.
        photo = PHOTOS[NAMES[0]].encode("unicode_escape").decode()
        source = f"calls = [{{'person': '{NAMES[0]}', 'photo': '{photo}'}}, '{NAMES[1]}']"
        picture = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, outputs=[picture])])
        # Dora was turned once and is in the sweep no more; another notebook is of other cells, and one is cut off.
        calls = [{"key": results[0]["key"], "person": NAMES[0], "photo": PHOTOS[NAMES[0]]}]
        calls += [{"key": "gone", "person": GONE[0], "photo": GONE[1]}]
        book.metadata["papermill"] = {"parameters": {"calls": calls}}
        (out / "notebooks").mkdir()
        nbformat.write(book, out / "notebooks" / "load.ipynb")
        book.metadata["papermill"] = {"parameters": {"calls": calls[1:]}}
        nbformat.write(book, out / "notebooks" / "load-2.ipynb")
        (out / "notebooks" / "load-3.ipynb").write_text('{"cells": [')
        index = {
            "baseline": "slow",
            "experiment": {
                "experiment": "x",
                "log_images": log_images,
                "people": PHOTOS,
                "subject": "Cleopatra",
                "question": "Is bea-42 still Beatrice Smith.jpg?",
                "budget_gb": None,
            },
            "people": PHOTOS,
            "settings": [{"key": key, "varied": {"generation.num_inference_steps": key}} for key in ("fast", "slow")],
            "cells": [{"key": r["key"], "setting": r["setting"], "load": "load"} for r in results],
        }
        (out / "sweep.json").write_text(json.dumps(index))
        return tmp_path, out, results

    return make


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (root / "mlruns").rglob("*") if path.is_file()}


def test_no_picture_and_no_name_reaches_mlflow_unless_it_is_asked_for(swept):
    root, out, results = swept(log_images=False)
    log_sweep(root, out, results, CHOICE)
    stored = everything(root)
    assert len(stored) >= 6, "database, tables, settings and notebooks are there"
    for path, content in stored.items():
        assert [kind for signature, kind in SIGNATURES.items() if signature in content] == [], path
        assert [text for text in TELLING if text.encode() in content] == [], path
    assert {path.name for path in stored if path.suffix == ".ipynb"} == {"load.ipynb"}
    tables = [json.loads(content) for path, content in stored.items() if path.name == "cells.json"]
    people = {row[table["columns"].index("person")] for table in tables for row in table["data"]}
    assert people == {"person 1", "person 2"}


def test_pictures_and_names_are_there_where_they_are_asked_for(swept):
    root, out, results = swept(log_images=True)
    log_sweep(root, out, results, CHOICE)
    stored = everything(root)
    assert sum(path.name == "contact.png" for path in stored) == 4
    assert any(b"Ada Lovelace" in content for path, content in stored.items() if path.suffix == ".ipynb")


def test_names_are_hidden_behind_colours_and_escapes_too():
    shown = Shown(False, ("ada", "bea"), (("ada", "/in/1/front.jpg"), ("bea", "/in/2/front.jpg")), folder="/in")
    assert shown.anywhere("\x1b[33mada\x1b[39m\\nbea") == "person 1\\nperson 2"
    assert shown.anywhere("/in/2/front.jpg front.jpg in /in") == "photo of person 2 a photo in photos"
    assert shown.anywhere("nada \\nada-lou") == "nada \\nperson 1-lou"


def test_a_number_is_hidden_where_it_is_somebody_and_nowhere_else():
    shown = Shown(False, ("1", "5", "48213"), (("5", "/in/5.jpg"),))
    cell = {"schema": "sdaug.cell/5", "person": "5", "repeats": "rows[1], numpy 1.26.5", "calls": [{"person": "1"}]}
    assert shown.anywhere("<tr><th>5</th><td>5</td><td>1.5</td>") == "<tr><th>5</th><td>person 2</td><td>1.5</td>"
    assert shown.anywhere(cell) == cell | {"person": "person 2", "calls": [{"person": "person 1"}]}
    assert shown.anywhere("""{'person': '5', \\"of\\": \\"1\\", "n": 5} /in/5.jpg, badge 48213""") == (
        """{'person': 'person 2', \\"of\\": \\"person 1\\", "n": 5} photo of person 2, badge person 3"""
    )


def test_code_that_judges_otherwise_is_logged(swept, monkeypatch):
    root, out, results = swept(log_images=False)
    log_sweep(root, out, results, CHOICE)
    monkeypatch.setattr(tracking, "judging_version", lambda: "another")
    log_sweep(root, out, results, Choice("fast", "another reason"))
    whys = [run["tags"].get("sdaug.chosen_why") for run in read_runs(root, "x")]
    assert "another reason" in whys


def test_the_name_of_an_experiment_that_was_deleted_in_mlflow_is_restored(swept, caplog):
    from mlflow import MlflowClient

    root, out, results = swept(log_images=False)
    log_sweep(root, out, results, CHOICE)
    client = MlflowClient(tracking_uri=tracking.store_uri(root))
    client.delete_experiment(client.get_experiment_by_name("x").experiment_id)
    log_sweep(root, out, results[:2], CHOICE)
    assert client.get_experiment_by_name("x").lifecycle_stage == "active" and "x was deleted" in caplog.text
    assert len(read_runs(root, "x")) == 2, "the three that were deleted with it stay so"


def test_pictures_that_were_asked_for_once_are_not_logged_once_they_are_not(swept):
    """The same cells, logged with pictures before, into the same store."""
    root, out, results = swept(log_images=True)
    before = log_sweep(root, out, results, CHOICE)
    pictured = set(everything(root))
    index = json.loads((out / "sweep.json").read_text())
    index["experiment"]["log_images"] = False
    (out / "sweep.json").write_text(json.dumps(index))
    assert log_sweep(root, out, results, CHOICE) != before
    new = {path: content for path, content in everything(root).items() if path not in pictured}
    assert any(path.suffix == ".ipynb" for path in new)
    for path, content in new.items():
        assert [kind for signature, kind in SIGNATURES.items() if signature in content] == [], path
        assert [text for text in TELLING if text.encode() in content] == [], path


def test_a_child_is_a_setting_and_a_failed_cell_makes_it_failed(swept):
    root, out, results = swept(log_images=False)
    parent = log_sweep(root, out, results, CHOICE)
    runs = read_runs(root, "x")
    children = {run["tags"][SETTING_TAG]: run for run in runs if run["tags"].get(PARENT_TAG) == parent}
    assert {key: run["status"] for key, run in children.items()} == {"fast": "FINISHED", "slow": "FAILED"}
    assert children["slow"]["tags"]["sdaug.error"] == "FileNotFoundError: photo 'photo of person 2' does not exist"
    assert children["fast"]["metrics"]["raw.accepted"] == 2 and children["slow"]["metrics"]["raw.accepted"] == 1
    recipe = read_recipe(root)
    assert recipe is not None and recipe["run_id"] == children["fast"]["run_id"] and recipe["why"] == CHOICE.why
    assert recipe["settings"] == results[0]["settings"]


def test_being_killed_while_logging_leaves_no_run_running_and_the_next_call_completes_it(swept, monkeypatch):
    root, out, results = swept(log_images=False)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tracking, "_log_files", killed)
    with pytest.raises(KeyboardInterrupt):
        log_sweep(root, out, results, CHOICE)
    assert {run["status"] for run in read_runs(root, "x")} == {"KILLED"}
    monkeypatch.undo()
    parent = log_sweep(root, out, results, CHOICE)
    assert log_sweep(root, out, results, CHOICE) == parent, "what is logged is not logged again"
    whole = [run for run in read_runs(root, "x") if run["tags"].get(PARENT_TAG) == parent]
    assert len(whole) == 2 and "RUNNING" not in {run["status"] for run in read_runs(root, "x")}


def test_a_run_whose_birth_was_cut_short_is_taken_up(swept, monkeypatch):
    """Between being created and being set to KILLED a run says that it runs."""
    root, out, results = swept(log_images=False)
    real = tracking._client

    class Cut:
        def __init__(self, client, after):
            self.client, self.after = client, after

        def __getattr__(self, name):
            return getattr(self.client, name)

        def create_run(self, *arguments, **options):
            made = self.client.create_run(*arguments, **options)
            self.after.pop()
            if not self.after:
                raise KeyboardInterrupt
            return made

    for born in (1, 2):  # the parent, then its first child
        monkeypatch.setattr(tracking, "_client", lambda *given, left=[0] * born: Cut(real(*given), left))
        with pytest.raises(KeyboardInterrupt):
            log_sweep(root, out, results, CHOICE)
        monkeypatch.undo()
        assert [run["status"] for run in read_runs(root, "x")].count("RUNNING") == 1
        if born == 1:
            tracking.open_parent(root, "x", [result["key"] for result in results], tracking.Shown(False, NAMES))
            assert {run["status"] for run in read_runs(root, "x")} == {"KILLED"}
    log_sweep(root, out, results, CHOICE)
    assert sorted(run["status"] for run in read_runs(root, "x")) == ["FAILED", "FINISHED", "FINISHED"]


def test_a_store_that_was_killed_in_the_making_is_made_again(tmp_path):
    """MLflow's own answer to half of its migrations is an error for ever."""
    script = "import sys, pathlib; from sdaug.tracking import read_runs; read_runs(pathlib.Path(sys.argv[1]), 'x')"
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    until = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.glob("mlruns/.new-*/mlflow.db")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()
    assert read_runs(tmp_path, "x") == [] and (tmp_path / "mlruns" / "mlflow.db").is_file()


def test_without_a_recommendation_there_is_no_recipe(swept):
    root, out, results = swept(log_images=False)
    log_sweep(root, out, results, Choice(None, "no setting chosen"))
    assert read_recipe(root) is None
