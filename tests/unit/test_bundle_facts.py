"""What a bundle of a real photo says of its samples, its parts and the measured gain."""

import json

import pytest

from sdaug.enrol import enrol_records, reviewed
from sdaug.enrolment.coverage import PITCHES, YAWS, Coverage, pose_map
from sdaug.enrolment.facts import evaluation_facts
from sdaug.enrolment.terms import Terms
from sdaug.enrolment.verify import load_embeddings
from sdaug.evaluation.gain.report import gain_report
from sdaug.evaluation.gain.simulated import World, simulate

WHEN = "2030-01-31T12:00:00Z"


@pytest.fixture(scope="module")
def gain() -> bytes:
    return json.dumps(gain_report(simulate(World(subjects=12)), replicates=20)).encode()


def test_every_sample_has_what_the_gate_checked_and_what_a_person_said(astronaut, warp, warp_record, tmp_path):
    no = warp_record.accepted[0].index
    record = reviewed(warp_record, [no])
    enrol_records([astronaut], [record], "s", tmp_path / "b", warp.settings, warp.pack, reviewed_at=WHEN)
    manifest = load_embeddings(tmp_path / "b")[1]
    source, *views = manifest.samples
    assert (source.reviewed, source.rules, source.checks) == (None, {}, {})
    for angle, sample in zip(record.angles, views, strict=True):
        assert set(sample.rules) == {"sdaug", "mission"} and sample.not_evaluated == angle.judgement.not_evaluated
        assert sample.rules["mission"] == angle.judgement.by_rule["mission"]
        assert sample.checks["pose_error_deg"] == pytest.approx(angle.judgement.checks["pose_error_deg"], abs=1e-6)
        assert "cohort_best" in sample.checks
        said = "refused" if angle.index == no else "accepted" if angle.accepted else None
        assert (sample.reviewed, sample.reviewed_at) == (said, said and WHEN)
    assert views[no].decision == "refused" and views[no].reasons == ("rejected_by_reviewer",)

    recogniser = manifest.recogniser.model_dump()
    assert recogniser["preprocessing"] == warp.pack.recognisers[0].preprocessing
    assert recogniser["licence"].startswith("public domain")
    detector = manifest.detector.model_dump()
    assert (
        detector["threshold"] == 0.5
        and detector["passes"][0]["padding"] == 0.25
        and "five points" in detector["pose_method"]
    )
    assert manifest.policy["calibration"]["floor_fmr"] == 0.01 and "commit" in manifest.tool.model_dump()


def test_the_measured_gain_goes_into_the_bundle(packed, gain):
    report = json.loads(gain)
    (name, own), *_ = report["by_recogniser"].items()
    facts = evaluation_facts(gain, name)
    assert facts["verdict"] == own["verdict"] and facts["subjects"] == report["subjects"] and facts["fmr"] == 0.01
    assert facts["arms"]["single"] == {k: own["arms"]["single"][k] for k in ("fnmr_at_fmr_1e-2", "ci95")}
    renamed = json.dumps(report | {"by_recogniser": {"fake": own}}).encode()
    assert packed(terms=Terms(evaluation=renamed)).bundle.manifest.evaluation == evaluation_facts(renamed, "fake")
    with pytest.raises(ValueError, match=f"the evaluation is of .*{name}.*, the bundle's recogniser is fake"):
        packed(terms=Terms(evaluation=gain))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"by_recogniser": {"fake": {}}}', b"\xff"])
def test_what_is_no_report_is_refused(data):
    with pytest.raises(ValueError, match="not a report of `sdaug evaluate gain"):
        evaluation_facts(data, "fake")


def test_the_map_shows_a_photo_before_a_view_and_the_end_of_the_grid_for_what_lies_beyond():
    view = Coverage(yaw_deg=44.0, pitch_deg=1.0, origin="generated")
    beyond = Coverage(yaw_deg=-80.0, pitch_deg=40.0, origin="classical")
    photo = view.model_copy(update={"origin": "captured"})
    assert pose_map([view, beyond]).rows == (".....", ".....", "....g", ".....", "w....")
    assert pose_map([view, photo]).rows == pose_map([photo, view]).rows == (".....", ".....", "....P", ".....", ".....")
    assert pose_map([]).rows == ("." * len(YAWS),) * len(PITCHES)


def test_a_reviewers_no_is_never_an_accepted_sample(packed):
    from sdaug.enrolment.sample import SampleRecord

    accepted = dict(packed().bundle.samples[1])
    for changes, words in (
        ({"reviewed": "refused", "reviewed_at": WHEN}, "its reviewer refused"),
        ({"reviewed": "accepted"}, "reviewed_at is None"),
        ({"reviewed": "accepted", "reviewed_at": "today"}, "ISO 8601"),
    ):
        with pytest.raises(ValueError, match=words):
            SampleRecord.model_validate(accepted | changes)
