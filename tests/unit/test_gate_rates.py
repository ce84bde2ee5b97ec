"""Counting what the gate keeps and refuses, with people whose faces are numbers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sdaug.bands import Band
from sdaug.config import GateSettings
from sdaug.evaluation.gate.material import Person, noise_images, read_people
from sdaug.evaluation.gate.proportions import wilson_interval
from sdaug.evaluation.gate.rates import gates_of, judge_wrong, odd_and_even, share, table
from sdaug.gate import Gate, Sight
from sdaug.quality.blur import Blur
from sdaug.types import ANGLES, Face, Pose, QualityScore, Reason

BAND = Band(((0, 0.5, 1.01),), ((0, 0.5, 1.01),), near_duplicate=0.99, same_person=0.9)
MISSION = {"confidence": 0.9, "blur": 0.1, "brightness": 120.0, "resolution": 512.0}
OWN = SimpleNamespace(name="own", similarity=lambda a, b: float(np.dot(a, b)))


def sight(pose: Pose, vector: np.ndarray, blur: float = 0.1) -> Sight:
    face = Face((0, 0, 9, 9), 0.9, np.zeros((5, 2), np.float32), None, pose)
    return Sight(face, {"blur": QualityScore(blur, 0.5)}, MISSION | {"blur": blur}, {"own": vector})


def unit(*values: float) -> np.ndarray:
    return np.array(values, np.float32) / math.hypot(*values)


def person(index: int, count: int = 3, off_deg: float = 0.0) -> Person:
    """Orthogonal to all others; each view has a similarity of 0.85 to the photo and differs from every other view."""
    own = np.eye(count + len(ANGLES), dtype=np.float32)
    views = [
        sight(Pose(p.yaw_deg + off_deg, p.pitch_deg), 0.85 * own[index] + 0.52 * own[count + n])
        for n, p in enumerate(ANGLES)
    ]
    pack = SimpleNamespace(recognisers=(OWN,))
    settings = GateSettings(min_similarity={"own": 0.3}, max_pose_error_deg=14.5)
    gate = Gate(pack, settings, {"blur": Blur()}, {}, {"own": own[index]}, Pose(0, 0), BAND)  # type: ignore[arg-type]
    blurred = {3: sight(ANGLES[3], own[index] * 0.85, blur=0.9), 6: sight(ANGLES[6], own[index] * 0.85)}
    copies = (sight(Pose(0, 0), own[index]), sight(Pose(14, 0), own[index] * 0.9))
    return Person(f"{index:03d}", gate, tuple(views), blurred, copies)


def test_every_class_is_counted_over_all_people():
    people = [person(0), person(1), person(2, off_deg=16)]
    found = table(people, [None] * 20, with_cohort=False)
    assert (found["people"], found["people_with_9_of_10"]["rate"]) == (3, 2 / 3)
    own = found["accepted"]["own_views"]
    assert (own["n"], own["rate"], own["reasons"]) == (30, 2 / 3, {"pose_error": 10})
    assert own["mission_rule"]["rate"] == 1 and found["people_with_9_of_10_by_mission_rule"]["rate"] == 1
    refused = found["refused"]
    assert {name: (row["n"], row["rate"]) for name, row in refused.items()} == {
        "wrong_person": (30, 1.0), "unturned_copy": (3 * 9 * 2, 51 / 54),
        "half_turned": (12, 11 / 12),
        "blurred": (6, 0.5), "noise": (20, 1.0),
    }  # fmt: skip
    assert refused["blurred"]["reasons"] == {"blurred": 3} and refused["noise"]["reasons"] == {"face_not_found": 20}
    assert refused["unturned_copy"]["reasons"]["near_duplicate"] == 27
    assert refused["unturned_copy"]["mission_rule"]["rate"] == 0.0, "it keeps copies"
    assert found["accepted_by_angle"]["+45,+0"]["n"] == 3


def test_no_one_is_compared_with_a_cohort_that_holds_them():
    people = [person(i, 4) for i in range(4)]
    gates = gates_of(people, 1, with_cohort=True)
    for left_out, gate in enumerate(gates):
        held = {int(np.argmax(vector)) for vector in gate.cohort["own"]}
        assert held == {0, 1, 2, 3} - {1, left_out}
    assert all(not gate.cohort for gate in gates_of(people, 1, with_cohort=False))


def test_wrong_people_come_from_different_others():
    people = [person(i, 5) for i in range(5)]
    asked = []
    watched = [SimpleNamespace(decide=lambda seen, pose, i=i: asked.append((i, seen))) for i in range(5)]
    judge_wrong(people, 2, watched)  # type: ignore[arg-type]
    others = [i for i, seen in asked[:10]]
    assert set(others) == {0, 1, 3, 4}, "everyone but the person"
    assert all(np.argmax(seen.vectors["own"][:5]) == i for i, seen in asked[:10]), "and each judged by their own view"


def test_people_are_split_by_number():
    groups = odd_and_even([SimpleNamespace(name=n) for n in ("001", "002", "010", "173")])  # type: ignore[misc]
    assert [[p.name for p in groups[k]] for k in ("chosen_on", "reported")] == [["001", "173"], ["002", "010"]]


def test_a_share_has_an_interval_and_nothing_has_none():
    row = share(29, 30)
    assert row["n"] == 30 and row["low"] < row["rate"] < row["high"]
    assert share(0, 0) == {"n": 0, "rate": None, "low": None, "high": None}


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 50), (7, 50), (25, 50), (50, 50)])
def test_wilsons_interval_is_that_of_the_score_test(hits, n):
    """At its ends the observed share lies exactly 1.96 standard errors of the hypothesis away."""
    low, high = wilson_interval(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        if 1e-9 < end < 1 - 1e-9:
            assert abs(hits / n - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(1.959964, abs=1e-6)
    with pytest.raises(ValueError, match="hits in"):
        wilson_interval(n + 1, n)


def test_noise_is_repeatable_and_full_size():
    first, again = list(noise_images(3)), list(noise_images(3))
    assert all(
        a.shape == (512, 512, 3) and a.dtype == np.uint8 and np.array_equal(a, b)
        for a, b in zip(first, again, strict=True)
    )
    assert len({image.std().round(3) for image in first}) == 3


def test_too_few_people_is_a_wrong_use(sdaug, tmp_path):
    (tmp_path / "london").mkdir()
    done = sdaug("evaluate", "gate", "--faces", tmp_path)
    assert done.code == 2 and "holds 0 photos NNN_neutral.jpg" in done.err


def test_a_real_person_is_seen_in_every_class(faces, tmp_path, embedded):
    folder = tmp_path / "london"
    folder.mkdir()
    for path in sorted((faces / "london").glob("*_neutral.jpg"))[1:5]:
        (folder / path.name).symlink_to(path)
    found = next(read_people(folder, embedded, GateSettings()))
    assert found.name == "002" and len(found.views) == 10 and len(found.copies) == 2
    frontal, blurred = (found.gate.decide(seen, ANGLES[0]) for seen in (found.views[0], found.blurred[0]))
    assert frontal.accepted and blurred.reasons == (Reason.BLURRED,)
    copied = [found.gate.decide(copy, pose) for copy in found.copies for pose in (ANGLES[1], ANGLES[4])]
    assert all(Reason.POSE_ERROR in judgement.reasons for judgement in copied)
    Image.new("RGB", (400, 400), (90, 90, 90)).save(folder / "000_neutral.jpg")
    with pytest.raises(ValueError, match="no face in 000_neutral.jpg"):
        next(read_people(folder, embedded, GateSettings()))
