"""Views are made, shown, chosen and enrolled; or cancelled and forgotten."""

import io
import json
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from sdaug.enrolment.facts import tool_facts
from sdaug.service.people import Templates


def events_of(running, job_id, after=0):
    answer = running.http.get(f"/api/jobs/{job_id}/events", headers={"Last-Event-ID": str(after)})
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def begin(running, photo, angles=3):
    answer = running.http.post("/api/previews", data={"sd_num_angles": angles}, files={"file": ("p.png", photo)})
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


def until(running, job_id, *states):
    for _ in range(3000):  # a cold worker on a busy machine
        job = running.http.get(f"/api/jobs/{job_id}").json()
        if job["state"] in states:
            return job
        time.sleep(0.1)
    raise AssertionError(job)


@pytest.fixture
def stranger(running):
    """Somebody enrolled who is not in the photo."""
    index = running.http.portal.call(running.service.ready)
    vector = np.full((1, running.service.recogniser["dim"]), 5.0, np.float32)
    index.put("f" * 32, Templates(vector, ("captured",), index.recogniser_sha256))
    yield
    index.drop("f" * 32)


def test_views_are_made_chosen_and_enrolled(running, photo, stranger):
    job_id = begin(running, photo)
    events = events_of(running, job_id)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert events[-1][1] == "done"
    texts = [data["text"] for _, _, data in events if "text" in data]
    assert texts.index("Initializing Stable Diffusion...") < texts.index("Generating angle 1/3... (frontal)")
    assert texts.index("Generating angle 3/3... (right 45)") < texts.index("Assessing quality...")
    assert texts.index("Assessing quality...") < texts.index("Finalizing...")
    assert [number for number, _, _ in events_of(running, job_id, after=3)] == [n for n, _, _ in events[3:]]

    job = until(running, job_id, "done")
    assert [view["pose"] for view in job["previews"]] == ["frontal", "left 45", "right 45"]
    passed = [view["index"] for view in job["previews"] if view["accepted"]]
    assert len(passed) >= 2
    for view in job["previews"]:
        if view["accepted"]:
            picture = running.http.get(view["image"])
            assert picture.headers["content-type"] == "image/png"
            assert Image.open(io.BytesIO(picture.content)).size == (512, 512)
        else:
            assert view["image"] is None and view["reasons"]

    kept = passed[0]
    other = running.enrol(photo + b"x", preview_id=job_id)
    assert (other.status_code, other.json()["code"]) == (409, "preview_of_another_photo")
    wrong = running.enrol(photo, preview_id=job_id, accepted="9")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_field")
    asked = {"cnic": running.new_cnic(), "preview_id": job_id, "headers": {"Idempotency-Key": "of-a-preview"}}
    answer = running.enrol(photo, accepted=str(kept), **asked)
    assert answer.status_code == 200, answer.text
    enrolled = answer.json()
    assert sum(enrolled["augmentation_breakdown"].values()) == enrolled["embeddings_created"] == 2
    reviewed = [r["role"] for r in enrolled["rejected"] if r["reasons"] == ["rejected_by_reviewer"]]
    assert len(reviewed) == len(passed) - 1
    bundle = running.http.get(f"/api/persons/{enrolled['person_id']}/bundle").content
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    review = manifest["policy"]["review"]
    assert (review["accepted"], review["of"]) == ([kept], 3)
    assert review["cohort"]["people"] == manifest["policy"]["cohort"]["people"] == 1
    views = [s for s in manifest["samples"] if s["requested"] is not None and s["measured"] is not None]
    assert views and all(s["checks"]["cohort_best"] is not None for s in views), "closer to nobody else"
    assert manifest["generator"]["model"]["model_id"] == "sdaug-nano"
    assert manifest["generator"]["settings"]["num_inference_steps"] == 2
    assert manifest["policy"]["calibration"]["floor_fmr"] > 0 and manifest["policy"]["not_evaluated"] == []
    assert manifest["tool"] == tool_facts() | {"name": "sdaug.service"}
    assert "generator" not in job
    by_reason = [s["reasons"] for s in manifest["samples"] if s["decision"] == "refused"]
    said = {s["role"]: s["reviewed"] for s in manifest["samples"] if s["origin"] != "captured"}
    taken, *others = (job["previews"][index]["role"] for index in passed)
    assert said[taken] == "accepted" and {said[role] for role in others} == {"refused"} and job["warnings"] == []
    assert by_reason.count(["rejected_by_reviewer"]) == len(passed) - 1 and len(by_reason) == 2
    assert enrolled["sd_generation_time"] > 0 and enrolled["quality_scores"]["min"] >= 0.7
    assert running.http.get(f"/api/jobs/{job_id}").status_code == 404, "an enrolled preview is forgotten"
    again = running.enrol(photo, accepted=str(kept), **asked)
    assert again.status_code == 200 and again.headers["Idempotency-Replayed"] == "true", again.text
    assert again.json() | {"request_id": ""} == enrolled | {"request_id": ""}
    other = running.enrol(photo, accepted="", **asked)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_a_preview_stores_nothing(running, photo):
    before = {f.name: f.stat().st_size for f in running.data.iterdir()}
    job_id = begin(running, photo, 1)
    until(running, job_id, "done")
    assert running.service.jobs.get(job_id).lane_job is None, "what went to the worker is not kept"
    assert {f.name: f.stat().st_size for f in running.data.iterdir()} == before
    gone = running.http.delete(f"/api/jobs/{job_id}")
    assert gone.status_code == 200
    assert running.http.get(f"/api/previews/{job_id}/images/0").status_code == 404


def test_without_a_file_the_photo_is_the_preview_s_and_no_view_need_be_taken(running, photo):
    job_id = begin(running, photo, 1)
    until(running, job_id, "done")
    fields = {
        "name": "Ayesha Khan",
        "cnic": running.new_cnic(),
        "preview_id": job_id,
        "accepted": "",
        "use_augmentation": "0",
    }
    enrolled = running.http.post("/api/enroll", files={name: (None, value) for name, value in fields.items()}).json()
    assert enrolled["augmentation_breakdown"] == {"original": 1, "traditional": 0, "stable_diffusion": 0}
    assert enrolled["quality_scores"] is None and len(enrolled["rejected"]) == 1


def test_a_running_job_is_cancelled_and_the_next_one_runs(running, photo):
    job_id = begin(running, photo, 10)
    until(running, job_id, "running")
    began = time.monotonic()
    assert running.http.delete(f"/api/jobs/{job_id}").json()["state"] == "cancelled"
    assert running.http.get(f"/api/jobs/{job_id}").status_code == 404
    while running.http.get("/api/sd/status").json()["busy"]:
        assert time.monotonic() - began < 30
        time.sleep(0.05)
    after = until(running, begin(running, photo, 1), "done", "failed")
    assert after["state"] == "done", after


def test_a_photo_that_cannot_be_used_fails_the_job(running):
    out = io.BytesIO()
    Image.fromarray(np.full((512, 512, 3), 90, np.uint8)).save(out, "PNG")
    job = until(running, begin(running, out.getvalue()), "failed", "done")
    assert (job["state"], job["error"]["code"]) == ("failed", "no_face")
    assert events_of(running, job["job_id"])[-1][1] == "failed"


def test_an_unfinished_preview_is_not_enrolled(running, photo):
    job_id = begin(running, photo, 10)
    answer = running.enrol(photo, preview_id=job_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "preview_not_done")
    running.http.delete(f"/api/jobs/{job_id}")
    unknown = running.enrol(photo, preview_id="0" * 32)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "job_not_found")


def test_a_cancelled_preview_that_waits_makes_room(serve, photo):
    running = serve(limits={"generation_queue": 2})
    first = begin(running, photo, 10)
    until(running, first, "running")
    for _ in range(3):
        waiting = begin(running, photo, 1)
        assert running.http.delete(f"/api/jobs/{waiting}").json()["state"] == "cancelled"
    assert running.http.get("/api/sd/status").json()["busy"] == 1
    running.http.delete(f"/api/jobs/{first}")


def test_a_full_generation_queue_says_when_to_come_again(serve, photo):
    running = serve(limits={"generation_queue": 1})
    job_id = begin(running, photo, 10)
    full = running.http.post("/api/previews", data={"sd_num_angles": 1}, files={"file": ("p.png", photo)})
    assert (full.status_code, full.json()["code"]) == (503, "queue_full") and int(full.headers["Retry-After"]) >= 1
    enrolment = running.enrol(photo, use_sd_augmentation="true")
    assert (enrolment.status_code, enrolment.json()["code"]) == (503, "queue_full")
    assert running.persons() == 0
    running.http.delete(f"/api/jobs/{job_id}")
