"""What the page's script does with each answer of the service, run by Node on stand-ins for the elements."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import sdaug.service

PAGE = Path(sdaug.service.__file__).parent / "page"
READY = {"available": True, "model_name": "sdaug-nano", "reason": None, "message": None, "busy": 0}
NOT = {"available": False, "model_name": "sd", "reason": "weights_missing", "message": "not on this machine", "busy": 0}
NOBODY = {"persons": [], "next": None, "total": 0}
ENROLLED = {
    "success": True, "message": "Successfully enrolled Ayesha <b>Khan</b>", "person_id": "1" * 32,
    "embeddings_created": 13,
    "augmentation_breakdown": {"original": 1, "traditional": 9, "stable_diffusion": 3}, "sd_generation_time": 12.34,
    "quality_scores": {"average": 0.9, "min": 0.8, "max": 1.0}, "rejected": [], "warnings": [], "degraded": None,
    "bundle": {}, "duplicates": [], "request_id": "r",
}  # fmt: skip


def view(index: int, accepted: bool = True) -> dict:
    facts = {
        "index": index,
        "role": "yaw",
        "pose": f"pose {index}",
        "rung": "diffusion",
        "quality": 0.9,
        "similarity": {},
    }
    if accepted:
        return facts | {"accepted": True, "reasons": [], "image": f"/api/previews/j/images/{index}"}
    return facts | {"accepted": False, "reasons": ["blurred"], "image": None}


def step(text: str, **more) -> list:
    return ["step", {"step": "angle" if "angle" in more else "x", "text": text, **more}]


@pytest.fixture(scope="module")
def run():
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not on this machine; the script cannot be run")
    page = BeautifulSoup((PAGE / "admin.html").read_text(encoding="utf-8"), "html.parser")
    elements = {
        tag["id"]: {
            "tag": tag.name,
            "text": "" if tag.find() else tag.text,
            "hidden": tag.has_attr("hidden"),
            "disabled": tag.has_attr("disabled"),
            "checked": tag.has_attr("checked"),
            "value": "5" if tag["id"] == "sdNumAngles" else "",
        }
        for tag in page.find_all(id=True)
    }

    def call(answers: dict, actions: list, events: list = ()) -> dict:
        given = {"GET api/session": [200, {}], "GET api/persons": [200, NOBODY], "GET api/sd/status": [200, READY]}
        task = {
            "elements": elements, "script": str(PAGE / "admin.js"), "answers": given | answers, "actions": actions,
            "events": list(events),
        }  # fmt: skip
        harness = Path(__file__).with_name("page_harness.mjs")
        done = subprocess.run([node, str(harness)], input=json.dumps(task), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


FILL = [
    ["set", "personName", {"value": "Ayesha Khan"}],
    ["set", "personCnic", {"value": "35202-1234567-1"}],
    ["set", "personPhoto", {"files": ["photo"]}],
]


def with_sd(angles: str = "5") -> list:
    return [
        *FILL,
        ["set", "useSdAugmentation", {"checked": True}],
        ["change", "useSdAugmentation"],
        ["set", "sdNumAngles", {"value": angles}],
        ["submit", "enrolForm"],
    ]


def test_available(run):
    seen = run({}, [["set", "useSdAugmentation", {"checked": True}], ["change", "useSdAugmentation"]])["seen"]
    assert seen["sdStatus"]["text"] == "Stable Diffusion: Ready (sdaug-nano)" and seen["sdStatus"]["classes"] == [
        "ready"
    ]
    assert not seen["useSdAugmentation"]["disabled"] and not seen["sdAngleSelector"]["hidden"]
    assert seen["signIn"]["hidden"] and not seen["signedIn"]["hidden"]


def test_not_available(run):
    seen = run({"GET api/sd/status": [200, NOT]}, [])["seen"]
    assert seen["sdStatus"]["text"].startswith("Stable Diffusion: Not Available (weights_missing")
    assert seen["useSdAugmentation"]["disabled"] and seen["sdAngleSelector"]["hidden"]


def test_still_being_found_out_and_not_answered(run):
    checking = run({"GET api/sd/status": [200, NOT | {"reason": "checking"}]}, [])["seen"]
    assert checking["sdStatus"]["text"] == "Checking Stable Diffusion availability..."
    down = run({"GET api/sd/status": "down"}, [])["seen"]
    assert down["sdStatus"]["text"].startswith("Stable Diffusion: Not Available (Network error: ")
    assert down["useSdAugmentation"]["disabled"]


def test_signing_in_keeps_no_key(run):
    refused = {"GET api/session": [401, {"detail": "no key"}], "POST api/session": [401, {"detail": "not known"}]}
    done = run(refused, [["set", "apiKey", {"value": "secret"}], ["submit", "signInForm"]])
    assert done["seen"]["apiKey"]["validity"] == "not known" and not done["seen"]["signIn"]["hidden"]
    good = refused | {"POST api/session": [200, {"signed_in": True}]}
    done = run(good, [["set", "apiKey", {"value": "secret"}], ["submit", "signInForm"]])
    assert not done["seen"]["signedIn"]["hidden"] and done["seen"]["apiKey"]["text"] == ""
    assert all("secret" not in request["path"] for request in done["requests"])


def test_enrolling_without_sd(run):
    answer = {k: v for k, v in ENROLLED.items() if k not in ("sd_generation_time", "quality_scores")}
    done = run({"POST api/enroll": [200, answer]}, [*FILL, ["submit", "enrolForm"]])
    (sent,) = [r for r in done["requests"] if r["method"] == "POST"]
    assert sent["form"]["use_augmentation"] == "true" and "preview_id" not in sent["form"]
    assert sent["headers"]["Idempotency-Key"] == "attempt-1" and sent["headers"]["X-Sdaug-Page"] == "1"
    assert done["progress"] == ["Enrolling..."], "no step that nobody has begun"
    seen = done["seen"]
    assert seen["enrolMessage"]["text"] == "Successfully enrolled Ayesha <b>Khan</b>"
    assert seen["generationTime"]["text"] == "none" and not seen["enrolResult"]["hidden"]
    assert seen["loadingOverlay"]["hidden"] and not seen["enrolButton"]["disabled"]


def test_terms_are_sent_and_what_is_to_be_known_is_said_in_words(run):
    terms = [["set", "consentPurpose", {"value": "access "}], ["set", "legalBasis", {"value": "consent"}]]
    refused = {"kind": "reviewed", "photo": 0, "reasons": ["rejected_by_reviewer"], "message": None}
    answer = ENROLLED | {
        "warnings": [{"photo": 0, "reasons": ["too_dark"]}],
        "rejected": [refused | {"role": "yaw-45_pitch+00"}, refused | {"role": "less_colour"}],
        "duplicates": [
            {"person_id": "p", "similarity": 0.9},
            *({"person_id": str(n), "similarity": 0.8} for n in "123"),
        ],
    }
    person = {
        "person_id": "p",
        "name": "Bilal",
        "national_id_last4": "1234",
        "embeddings_created": 1,
        "created": "2030",
    }
    answers = {
        "POST api/enroll": [200, answer],
        "GET api/persons": [200, {"persons": [person], "next": None, "total": 1}],
    }
    done = run(answers, [*FILL, *terms, ["submit", "enrolForm"]])
    (sent,) = [r["form"] for r in done["requests"] if r["method"] == "POST"]
    assert (sent["consent_purpose"], sent["legal_basis"]) == ("access", "consent")
    assert "consent_reference" not in sent and "retention_days" not in sent
    notes = done["seen"]["enrolNotes"]["text"]
    unknown = run({"POST api/enroll": [200, ENROLLED | {"not_evaluated": ["duplicates"]}]}, [*FILL, ENROL])
    said = "Whether somebody enrolled before looks like this could not be found out"
    assert said in unknown["seen"]["enrolNotes"]["text"] and said not in notes
    assert "The photo is poor (too dark)" in notes and "right 45 (rejected by reviewer); less colour" in notes
    assert "enrolled before: \u2068Bilal\u2069 (…1234), 1, 2 and 1 more" in notes
    assert not done["seen"]["peopleTable"]["hidden"]


def test_nobody_to_list_and_nobody_to_compare_with(run):
    found = {"mode": "1:N", "recogniser": "dlib_resnet", "threshold": 0, "compared": 0, "candidates": []}
    actions = [["set", "comparePhoto", {"files": ["p"]}], ["submit", "compareForm"]]
    seen = run({"POST api/compare": [200, found]}, actions)["seen"]
    assert seen["compareTable"]["hidden"] and seen["compareNote"]["text"] == "Nobody is enrolled who could be compared."
    assert seen["peopleTable"]["hidden"]


@pytest.mark.parametrize("angles", ["3", "5", "7", "10"])
def test_enrolling_with_sd_shows_progress_and_the_views(run, angles):
    n = int(angles)
    made = {
        "job_id": "j", "state": "done", "of": n, "generation_s": 12.34, "degraded": None, "warnings": [],
        "previews": [view(i, accepted=i != 1) for i in range(n)],
    }  # fmt: skip
    answers = {
        "POST api/previews": [202, {"job_id": "j"}],
        "GET api/jobs/j": [200, made],
        "POST api/enroll": [200, ENROLLED],
    }
    steps = [step(f"Generating angle {i + 1}/{n}... (pose)", angle=i + 1, of=n) for i in range(n)]
    events = [step("Initializing Stable Diffusion..."), *steps, step("Assessing quality..."), ["done", {}]]
    offered = run(answers, with_sd(angles), events)
    assert [r["form"]["sd_num_angles"] for r in offered["requests"] if r["path"] == "api/previews"] == [angles]
    assert offered["progress"] == [
        "Sending the photo...",
        "Initializing Stable Diffusion...",
        *[s[1]["text"] for s in steps],
        "Assessing quality...",
    ]
    assert offered["seen"]["sdPreviewModal"]["open"] and offered["seen"]["loadingOverlay"]["hidden"]
    assert f"{n - 1} of {n} angles passed" in offered["seen"]["previewNote"]["text"]
    assert "pose 1: refused blurred" in offered["seen"]["sdPreviewGrid"]["text"]
    assert "12.3 s" in offered["seen"]["sdMeasured"]["text"]

    accepted = run(answers, [*with_sd(angles), ["click", "acceptPreviews"]], events)
    (sent,) = [r["form"] for r in accepted["requests"] if r["path"] == "api/enroll"]
    assert sent["preview_id"] == "j" and sent["accepted"] == ",".join(str(i) for i in range(n) if i != 1)
    seen = accepted["seen"]
    counts = [seen[k]["text"] for k in ("countOriginal", "countTraditional", "countGenerated", "countTotal")]
    assert counts == ["1", "9", "3", "13"] and seen["generationTime"]["text"] == "12.3 s"

    rejected = run(answers, [*with_sd(angles), ["click", "rejectPreviews"]], events)
    (sent,) = [r["form"] for r in rejected["requests"] if r["path"] == "api/enroll"]
    assert "preview_id" not in sent and sent["file"] == "photo"
    assert sent["use_augmentation"] == "false", "the original only"


def test_a_failing_generation_and_a_failing_enrolment_are_said(run):
    def ended(code: str, detail: str) -> dict:
        job = {
            "job_id": "j",
            "of": 5,
            "generation_s": None,
            "error": {"code": code, "detail": detail},
            "warnings": [],
            "previews": [],
        }
        answers = {"POST api/previews": [202, {"job_id": "j"}], "GET api/jobs/j": [200, job]}
        return run(answers, with_sd(), [["failed", {}]])["seen"]

    photo = ended("no_face", "no face was found")
    assert photo["enrolError"]["text"] == "Failed to enroll person: no face was found"
    assert not photo["enrolError"]["hidden"] and not photo["sdPreviewModal"]["open"]
    generator = ended("worker_crashed", "the worker was lost")
    assert generator["sdPreviewModal"]["open"] and generator["acceptPreviews"]["disabled"]
    assert "The original can still be enrolled" in generator["previewNote"]["text"]
    conflict = run({"POST api/enroll": [409, {"detail": "enrolled already"}]}, [*FILL, ["submit", "enrolForm"]])
    assert conflict["seen"]["enrolError"]["text"] == "Failed to enroll person: enrolled already"
    down = run({"POST api/enroll": "down"}, [*FILL, ["submit", "enrolForm"]])
    assert down["seen"]["enrolError"]["text"].startswith("Network error: ")


ENROL, CHANGE = ["submit", "enrolForm"], ["input", "enrolForm"]


def keys_sent(done: dict) -> list[str]:
    return [r["headers"]["Idempotency-Key"] for r in done["requests"] if r["path"] == "api/enroll"]


@pytest.mark.parametrize(
    "first, same",
    [
        ("down", True),
        ([200, None], True),
        ([503, {"code": "queue_full"}], True),
        ([409, {"code": "in_progress"}], True),
        ([409, {"code": "already_enrolled"}], False),
        ([422, {"code": "no_face"}], False),
        ([200, ENROLLED], False),
    ],
)
def test_a_lost_answer_is_asked_for_again_under_its_key(run, first, same):
    again = run({"POST api/enroll": [first, [200, ENROLLED]]}, [*FILL, ENROL, *FILL, ENROL])
    assert keys_sent(again) == ["attempt-1", "attempt-1" if same else "attempt-2"]
    assert not again["seen"]["enrolResult"]["hidden"]
    changed = run({"POST api/enroll": [first, [200, ENROLLED]]}, [*FILL, ENROL, CHANGE, ENROL])
    assert keys_sent(changed) == ["attempt-1", "attempt-2"]


def test_a_lost_answer_to_accepted_views_is_asked_for_again_and_no_view_made_again(run):
    made = {"job_id": "j", "state": "done", "of": 1, "generation_s": 1.0, "warnings": [], "previews": [view(0)]}
    answers = {
        "POST api/previews": [202, {"job_id": "j"}],
        "GET api/jobs/j": [200, made],
        "POST api/enroll": ["down", [200, ENROLLED]],
    }
    done = run(answers, [*with_sd(), ["click", "acceptPreviews"], ENROL], [["done", {}]])
    assert keys_sent(done) == ["attempt-1"] * 2
    assert [r["form"]["preview_id"] for r in done["requests"] if r["path"] == "api/enroll"] == ["j"] * 2
    assert len([r for r in done["requests"] if r["path"] == "api/previews"]) == 1


def test_comparing_shows_each_arm(run):
    arm = {"similarity": 0.5, "match": True, "templates": 1}
    candidate = {"person_id": "1", "name": "Ayesha", "without_augmentation": arm, "without_sd": arm | {"templates": 10},
                 "with_augmentation": {"similarity": 0.25, "match": False, "templates": 15}}  # fmt: skip
    found = {"mode": "1:N", "recogniser": "dlib_resnet", "threshold": 0, "compared": 1, "candidates": [candidate]}
    seen = run(
        {"POST api/compare": [200, found]}, [["set", "comparePhoto", {"files": ["p"]}], ["submit", "compareForm"]]
    )["seen"]
    assert seen["compareRows"]["text"] == "Ayesha 0.500 match (1) 0.500 match (10) 0.250 no match (15)"
