"""The gain evaluation on photos: who is enrolled, what is a probe, what the command says."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sdaug.config import GateSettings, GenerationSettings, ModelSettings
from sdaug.diffusion.generator import Generated
from sdaug.diffusion.schedule import Evaluations
from sdaug.evaluation.gain import arms
from sdaug.evaluation.gain.faceset import Degradation, Sample, as_trial, degraded, enlarged, read_people, yaw_bin
from sdaug.evaluation.gain.gather import gather
from sdaug.evaluation.gain.report import gain_report
from sdaug.face.photo import photo_from_array
from sdaug.types import Face, Pose


def sample(key: str, yaw: float | None, second: float | None = None) -> Sample:
    pose = None if yaw is None else Pose(yaw, 0)
    face = Face((0, 0, 9, 9), 0.9, np.zeros((5, 2), np.float32), None, pose)
    return Sample(key, photo_from_array(np.full((16, 16, 3), 99, np.uint8)), face, second)


def test_the_source_is_the_most_frontal_whatever_the_names_say():
    shots = [sample("a", 50.0), sample("b", None, 95.0), sample("c", -4.0), sample("d", 20.0), sample("e", None, 70.0)]
    person = as_trial("p", shots)
    assert person.source.key == "c"
    assert [s.key for s in person.ceiling] == ["c", "a", "b"], "first, middle and last of c d a e b"
    assert [s.key for s in person.probes] == ["d", "e"]


def test_a_photo_without_a_face_is_a_probe_and_no_more():
    faceless = replace(sample("x", None), face=None)
    person = as_trial("p", [sample("a", 1.0), faceless, sample("b", 30.0), sample("c", 60.0)])
    assert person.probes == (faceless,)


@pytest.mark.parametrize(
    "shots", [[("a", 1.0), ("b", 2.0), ("c", 3.0)], [("a", None), ("b", None), ("c", None), ("d", None)]]
)
def test_who_has_no_probe_or_no_readable_photo_takes_no_part(shots):
    assert as_trial("p", [sample(*shot) for shot in shots]) is None


def test_bins_meet_without_overlap():
    assert [yaw_bin(Pose(yaw, 0)) for yaw in (0, -14.9, 15, 30, -45, 60, 90)] == [
        "0-15", "0-15", "15-30", "30-45", "45-60", "60+", "60+"
    ]  # fmt: skip


def test_only_thumbnails_are_enlarged_and_by_a_whole_factor():
    small, large = (photo_from_array(np.zeros((h, w, 3), np.uint8)) for h, w in ((112, 92), (240, 200)))
    assert enlarged(small).pixels.shape == (448, 368, 3)
    assert enlarged(small).sha256 == small.sha256
    assert enlarged(large) is large


def test_a_degraded_probe_keeps_its_size_and_loses_its_detail(astronaut, astronaut_face, embedded):
    probe = Sample("a", astronaut, astronaut_face)
    assert degraded(probe, Degradation(), embedded) is probe
    distant = degraded(probe, Degradation(face_px=32), embedded)
    blurred = degraded(probe, Degradation(face_px=32, blur_px=1.5), embedded)
    assert distant.photo.pixels.shape == astronaut.pixels.shape

    def detail(shot):
        return cv2.Laplacian(shot.photo.pixels, cv2.CV_64F).var()

    assert detail(blurred) < detail(distant) < detail(probe) / 2
    assert distant.face is not None


def test_controls_of_a_photo(astronaut, astronaut_face, embedded):
    person = as_trial(
        "p", [sample("b", 40.0), sample("c", 60.0), sample("d", 70.0), Sample("a", astronaut, astronaut_face)]
    )
    own = embedded.recognisers[0]
    reference = own.embed(astronaut.pixels, astronaut_face)
    (mirrored,) = arms.flip(person, embedded)
    shaken = arms.jitter(person, embedded)
    assert own.similarity(reference, mirrored.vectors[own.name]) > 0.3
    assert len(shaken) == arms.JITTERS
    assert all(0.3 < own.similarity(reference, e.vectors[own.name]) < 1 for e in shaken)


def test_a_folder_without_such_photos_is_refused(tmp_path, embedded, astronaut_bgr):
    with pytest.raises(FileNotFoundError, match="<subject>_<key>"):
        read_people(tmp_path, embedded, lambda what, done, of: None)
    cv2.imwrite(str(tmp_path / "p_0.png"), astronaut_bgr)
    with pytest.raises(ValueError, match="holds 0 people"):
        read_people(tmp_path, embedded, lambda what, done, of: None)


def test_diffusion_that_makes_noise_earns_no_view(astronaut, astronaut_face, embedded, monkeypatch):
    """What the gate refuses stays refused: the warp, which would pass, is an arm of its own."""
    asked = []

    def generate(jobs, settings, *, identity, share):
        asked.append([(job.index, job.view.pose.yaw_deg, job.control_image.shape) for job in jobs])
        noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
        return iter([Generated(job.index, noise, noise, Evaluations(1, 0, 1, 0), 2) for job in jobs])

    placed = SimpleNamespace(placed=True)
    fake = SimpleNamespace(
        generate=generate,
        close=lambda: asked.append("closed"),
        settings_for=lambda given: given,
        pipeline=placed,
        facts={},
    )
    monkeypatch.setattr(arms, "VIEW_YAWS", (30.0,))
    monkeypatch.setattr("sdaug.diffusion.load.load_generator", lambda model, levers: fake)
    shots = [sample("b", 40.0), sample("c", 60.0), sample("d", 70.0), Sample("a", astronaut, astronaut_face)]
    person = as_trial("p", shots)
    diffusing, close = arms.diffusion(ModelSettings(), GenerationSettings())
    assert not any(extra.accepted for extra in arms.views(person, embedded, GateSettings(), diffusing))
    close()
    assert asked == [[(0, 30.0, (512, 512, 3)), (1, -30.0, (512, 512, 3))], "closed"]
    assert all(extra.accepted for extra in arms.views(person, embedded, GateSettings()))


@pytest.fixture(scope="module")
def few(faces, tmp_path_factory):
    """Four photos each of three people."""
    folder = tmp_path_factory.mktemp("turning")
    for subject in ("t07", "t15", "t17"):
        for key in (6, 10, 15, 18):
            shutil.copy(faces / "turning" / f"{subject}_{key:02d}.png", folder)
    return folder


def test_real_people_really_turned(few, arcface, monkeypatch):
    monkeypatch.setattr(arms, "VIEW_YAWS", (60.0,))
    told = []
    model = ModelSettings(model_id=str(few / "nothing"))
    material = gather(few, arcface, model=model, progress=lambda *news: told.append(news))
    assert material.subjects == ("t07", "t15", "t17") and len(material.owner) == 3
    assert told[-1] == ("people", 3, 3) and ("photos", 12, 12) in told
    assert "weights_missing" in material.extras["diffusion"]
    report = gain_report(material, replicates=50)
    assert json.loads(json.dumps(report)) == report
    assert set(report["by_recogniser"]) == {"arcface", "dlib_resnet"}
    for arms_of in (report["by_recogniser"][name]["arms"] for name in report["by_recogniser"]):
        made = [arm for arm in arms_of.values() if arm["ci95"] is not None]
        assert {(arm["mated"], arm["non_mated"]) for arm in made} == {(3, 6)}, "identical probes in every arm"
        assert all(arm["fnmr_at_fmr_1e-3"] is None for arm in arms_of.values())


# -- the command


def test_the_command_names_what_is_missing(sdaug, tmp_path):
    absent = sdaug("evaluate", "gain", "--faces", tmp_path)
    assert absent.code == 2 and "<subject>_<key>" in absent.err
    assert sdaug("evaluate", "gain", "--pack", "embeded").code == 2
    (tmp_path / "gate.yaml").write_text("max_pose_eror_deg: 3\n")
    wrong = sdaug("evaluate", "gain", "--faces", tmp_path, "--gate", "gate.yaml")
    assert wrong.code == 2 and "max_pose_eror_deg" in wrong.err
