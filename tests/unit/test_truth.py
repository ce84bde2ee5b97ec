"""`evaluate truth`: figures that follow from the rows, and a run over a few exactly known views."""

import json
import shutil

import numpy as np
import pytest

from sdaug.evaluation.truth import charts as charts
from sdaug.evaluation.truth.baselines import baselines
from sdaug.evaluation.truth.head3d import read_views
from sdaug.evaluation.truth.page import open_page
from sdaug.evaluation.truth.report import UNREADABLE_DEG, Seen, error_deg, similarities
from sdaug.evaluation.truth.summary import BINS, pose_errors, spread, summary
from sdaug.evaluation.truth.text import truth_text
from sdaug.types import ANGLES, Pose

VIEWS = ("yaw+00_pitch+00", "yaw+30_pitch+00", "yaw-45_pitch+00", "yaw+00_pitch-30")


def row(yaw: float, pitch: float, **changes) -> dict:
    """A view that was found and accepted, in every way 0.5 alike."""
    keys = ["generated_to_true", "input_to_true", "mirrored_to_true", "in_plane_to_true"]
    scores = {f"{key}.r": 0.5 for key in [*keys, "generated_to_input", "true_to_input"]}
    reading = {"yaw_deg": yaw + 2, "pitch_deg": pitch - 1}
    facts = {
        "yaw_deg": yaw, "pitch_deg": pitch, "face_found": True, "true_face_found": True, "accepted": True,
        "measured": reading, "measured_second": reading, "pose_error_deg": 2.0, "pose_error_second_deg": 2.0,
        "true_pose_error_deg": 1.0, "true_pose_error_second_deg": 1.0,
    }  # fmt: skip
    return scores | facts | changes


NOTHING = {
    "face_found": False, "accepted": False, "measured": None, "measured_second": None,
    "pose_error_deg": UNREADABLE_DEG, "pose_error_second_deg": UNREADABLE_DEG, "generated_to_true.r": 0.0,
    "generated_to_input.r": 0.0,
}  # fmt: skip


def test_bins_hold_their_poses_over_all_of_the_other_axis():
    rows = [row(y, p) for y in (-60, -45, -30, -15, 0, 15, 30, 45, 60) for p in (-30, -15, 0, 15, 30)]
    counts = {name: figures["n"] for name, figures in summary(rows, "r").items()}
    assert counts == {
        "all": 45, "yaw_le_30": 25, "yaw_0": 5, "yaw_15": 10, "yaw_30": 10, "yaw_45": 10, "yaw_60": 10,
        "pitch_0": 9, "pitch_15": 18, "pitch_30": 18,
    }  # fmt: skip
    assert set(counts) == set(BINS)


def test_an_undetected_view_scores_nothing_and_a_refused_one_only_behind_the_gate():
    refused = row(0, 15, accepted=False, **{"generated_to_true.r": 0.9, "generated_to_input.r": 0.9})
    figures = summary([row(30, 0), row(30, 15) | NOTHING, refused], "r")["all"]
    assert (figures["n"], figures["undetected"], figures["refused"]) == (3, 1, 2)
    assert figures["ungated_to_true"] == pytest.approx((0.5 + 0.0 + 0.9) / 3)
    assert figures["generated_to_true"] == pytest.approx(0.5 / 3), "refused and undetected views score 0"
    assert figures["excess_to_input"] == pytest.approx((0.0 - 0.5 + 0.4) / 3)
    assert figures["within_0.08_of_true_to_input"] == pytest.approx(1 / 3)
    assert figures["generated_to_input_above_0.8"] == pytest.approx(1 / 3)
    assert figures["pose_error_deg"]["mean"] == pytest.approx((2 + 90 + 2) / 3)


def test_a_figure_of_nothing_is_null():
    empty = summary([row(0, 15)], "r")["yaw_60"]
    assert empty["n"] == empty["refused"] == 0
    assert empty["generated_to_true"] is empty["ungated_to_true"] is empty["pose_error_deg"]["median"] is None
    assert spread([]) == {"median": None, "p95": None, "mean": None}


def test_an_unread_pose_counts_as_ninety_degrees_but_not_as_an_angle():
    errors = pose_errors([row(30, 0), row(-30, 0) | NOTHING])
    assert errors["pose_error_deg"]["mean"] == 46 and errors["true_pose_error_deg"]["median"] == 1
    assert errors["pose_error_deg"]["by_axis"] == {"yaw_deg": 2.0, "pitch_deg": 1.0}
    assert errors["pose_error_deg"]["turn_made"] == {"yaw_deg": pytest.approx(32 / 30), "pitch_deg": None}
    assert error_deg(None, Pose(0, 0)) == 90 and error_deg(Pose(3, -7, 40), Pose(0, 0)) == 7


def test_a_missing_face_is_alike_to_nothing(embedded, astronaut_face):
    someone = Seen(astronaut_face, {"dlib_resnet": np.zeros(128, np.float32)}, None)
    assert similarities(someone, Seen(None, {}, None), embedded) == {"dlib_resnet": 0.0}
    assert similarities(someone, someone, embedded) == {"dlib_resnet": 1.0}


def test_the_baselines_do_not_turn_the_head(astronaut):
    made = {name: maker(Pose(30, 10)) for name, maker in baselines(astronaut.pixels).items()}
    assert list(made) == ["input", "mirrored", "in_plane"]
    assert np.array_equal(made["input"], astronaut.pixels)
    assert np.array_equal(made["mirrored"][:, ::-1], astronaut.pixels)
    assert made["in_plane"].shape == astronaut.pixels.shape and not np.array_equal(made["in_plane"], astronaut.pixels)


def test_views_are_read_by_the_pose_in_their_name(tmp_path, astronaut):
    from PIL import Image

    for name in ("yaw+00_pitch+00.png", "yaw-30_pitch+15.png", "notes.png"):
        Image.fromarray(astronaut.pixels[:16, :16]).save(tmp_path / name)
    assert list(read_views(tmp_path)) == [Pose(0, 0), Pose(-30, 15)]
    (tmp_path / "yaw+00_pitch+00.png").unlink()
    with pytest.raises(FileNotFoundError, match="holds 1 views; expected yaw"):
        read_views(tmp_path)


@pytest.fixture(scope="module")
def few_views(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("head3d")
    for name in VIEWS:
        shutil.copy(faces / "head3d" / f"{name}.png", folder)
    return folder


def test_a_few_known_views(few_views, faces, sdaug, arcface, monkeypatch):
    """The warp must beat the frontal photo and turn the head; the page must say what the JSON says."""
    monkeypatch.setattr("sdaug.packs.load_pack", lambda name: arcface)
    people = ("--people", faces / "london", "--pattern", "*_neutral.jpg", "--limit", 1)
    done = sdaug("evaluate", "truth", "--head3d", few_views, "--pack", "any", *people, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["recogniser"], report["held_out"]) == ("arcface", ["dlib_resnet"])
    assert {name: report["summary"][name]["n"] for name in ("all", "yaw_le_30", "yaw_45", "pitch_30", "yaw_60")} == {
        "all": 3, "yaw_le_30": 2, "yaw_45": 1, "pitch_30": 1, "yaw_60": 0,
    }  # fmt: skip
    for row in report["views"]:
        assert row["face_found"] and row["true_face_found"]
        for name in ("arcface", "dlib_resnet"):
            assert row[f"true_to_input.{name}"] == pytest.approx(row[f"input_to_true.{name}"])
        assert row["true_pose_error_deg"] < 6 and row["true_pose_error_second_deg"] < 9
        for reading in ("measured", "measured_second"):
            asked = row["yaw_deg"] or row["pitch_deg"]
            assert row[reading]["yaw_deg" if row["yaw_deg"] else "pitch_deg"] / asked > 0.6, reading
    every = report["summary"]["all"]
    assert (
        every["generated_to_true"] > max(every[f"{name}_to_true"] for name in ("input", "mirrored", "in_plane")) + 0.03
    )
    assert set(report["summary_by_recogniser"]) == {"arcface", "dlib_resnet"}
    assert report["estimators"]["second"]["reads"] == "five_points"
    turned = report["people"]
    assert turned["n"] == 1 and len(turned["angles"]) == turned["all"]["n"] == 10 and turned["refused_sources"] == []
    assert turned["angles"][0]["generated_to_input"]["arcface"] > turned["angles"][1]["generated_to_input"]["arcface"]
    page = truth_text(report)
    assert f"{report['summary']['all']['generated_to_true']:.3f}" in page and "1 people turned to 10 angles" in page


def test_the_page_shows_every_view_beside_its_truth(few_views, arcface):
    page = open_page(str(few_views), arcface, limit=1)
    assert len(page.rows) == 1 and list(page.truth) == list(page.generated) and Pose(0, 0) in page.truth
    assert all(image.shape == (160, 160, 3) for image in [*page.truth.values(), *page.generated.values()])
    figures = [charts.view_grid(page), charts.pose_readings(page.rows)]
    figures += [draw(page.rows, "arcface") for draw in (charts.similarity_by_angle, charts.distributions)]
    shown = [axes for axes in figures[0].axes if axes.images]
    assert len(shown) == 2 * len(page.generated)
    lines = {line.get_label(): line for line in figures[2].axes[0].lines}
    yaws = sorted({row["yaw_deg"] for row in page.rows})
    assert lines["generated"].get_xdata().tolist() == yaws
    assert lines["generated"].get_ydata()[0] == [
        r["generated_to_true.arcface"] for r in page.rows if r["yaw_deg"] == yaws[0]
    ]


def test_the_page_without_known_views_turns_the_built_in_photo(embedded):
    page = open_page("", embedded)
    assert page.report is None and page.truth == {} and page.people["n"] == 1
    assert [(row["yaw_deg"], row["pitch_deg"]) for row in page.rows] == [(p.yaw_deg, p.pitch_deg) for p in ANGLES]
    assert len([axes for axes in charts.view_grid(page).axes if axes.images]) == 10


def test_a_folder_without_views_is_a_wrong_use(sdaug, tmp_path):
    done = sdaug("evaluate", "truth", "--head3d", tmp_path)
    assert done.code == 2 and "holds 0 views" in done.err
