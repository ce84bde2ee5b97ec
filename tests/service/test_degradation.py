"""Whatever happens to the generator, the person is enrolled from what there is, and the answer says so."""

import threading
import time

import pytest


@pytest.mark.slow
def test_a_generator_that_is_killed_costs_the_views_only(running, photo):
    answers = []
    fields = {"use_sd_augmentation": "true", "sd_num_angles": "10"}
    thread = threading.Thread(target=lambda: answers.append(running.enrol(photo, **fields)))
    lane = running.service.generation
    before = lane._process and lane._process.pid
    thread.start()
    deadline = time.monotonic() + 100
    while not (lane.waiting and lane._process is not None and lane._process.returncode is None):
        assert time.monotonic() < deadline and thread.is_alive()
        time.sleep(0.005)
    lane._process.kill()
    thread.join(120)
    (answer,) = answers
    assert answer.status_code == 200, (answer.text, before)
    enrolled = answer.json()
    assert enrolled["degraded"]["reason"] == "worker_crashed"
    assert enrolled["augmentation_breakdown"] == {"original": 1, "traditional": 0, "stable_diffusion": 0}
    assert enrolled["quality_scores"] is None
    assert running.http.get(f"/api/persons/{enrolled['person_id']}/bundle").status_code == 200


@pytest.mark.slow
def test_a_generator_that_cannot_start_costs_the_views_only(serve, photo):
    """A lever that wants a GPU, on the CPU."""
    running = serve(run={"levers": {"cuda_graphs": {}}})
    enrolled = running.enrol(photo, use_sd_augmentation="true", use_augmentation="true").json()
    assert enrolled["degraded"]["reason"] == "generator_failed"
    counts = enrolled["augmentation_breakdown"]
    assert counts["stable_diffusion"] == 0 and counts["traditional"] >= 7


def test_several_photos_of_which_none_can_be_used_are_an_error(running, photo):
    before = running.persons()
    answer = running.http.post(
        "/api/enroll/multiple",
        data={"name": "Ayesha Khan", "cnic": running.new_cnic()},
        files=[("files", ("a.png", photo[: len(photo) // 2])), ("files", ("b.png", photo[:100]))],
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_image")
    assert running.persons() == before
    eleven = [("files", (f"{n}.png", photo[:2000])) for n in range(11)]
    many = running.http.post("/api/enroll/multiple", data={"name": "A B", "cnic": running.new_cnic()}, files=eleven)
    assert (many.status_code, many.json()["code"]) == (422, "too_many_files")


def test_the_same_photo_twice_is_enrolled_once(running, photo):
    answer = running.http.post(
        "/api/enroll/multiple",
        data={"name": "Ayesha Khan", "cnic": running.new_cnic(), "use_augmentation": "false"},
        files=[("files", ("a.png", photo)), ("files", ("b.png", photo))],
    ).json()
    assert answer["augmentation_breakdown"]["original"] == 1
    assert [r["reasons"] for r in answer["rejected"]] == [["near_duplicate"]]


def test_one_person_asked_for_six_times_at_once_is_one_person(running, photo):
    cnic, before, answers = running.new_cnic(), running.persons(), []

    def ask() -> None:
        answers.append(running.enrol(photo, cnic=cnic, headers={"Idempotency-Key": "at-once"}))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    good = {answer.json()["person_id"] for answer in answers if answer.status_code == 200}
    waiting = {answer.json()["code"] for answer in answers if answer.status_code != 200}
    assert len(answers) == 6 and len(good) == 1 and waiting <= {"in_progress"}
    assert running.persons() == before + 1


def test_a_flood_is_told_to_wait_and_loses_nothing(serve, photo):
    """Default limits but for a shorter queue; every request is repeated until it is served."""
    running = serve(limits={"face_queue": 3, "uploads": 5, "changes_per_minute": 120})
    refused, served, cnics = [], [], [running.new_cnic() for _ in range(12)]

    def client(cnic: str) -> None:
        for _ in range(200):
            answer = running.enrol(photo, cnic=cnic, headers={"Idempotency-Key": cnic})
            if answer.status_code == 200:
                served.append(answer.json()["person_id"])
                return
            refused.append((answer.status_code, answer.json()["code"], answer.headers.get("Retry-After")))
            time.sleep(min(float(answer.headers["Retry-After"]), 1.0))

    threads = [threading.Thread(target=client, args=(cnic,)) for cnic in cnics]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert len(set(served)) == running.persons() == len(cnics)
    assert refused and {status for status, _, _ in refused} <= {429, 503}
    assert {code for _, code, _ in refused} <= {"busy", "queue_full", "too_many_requests"}
    assert all(int(wait) >= 1 for _, _, wait in refused)
