"""The report's content, read from its HTML: what is claimed, shown, named and told; how big it gets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from sdaug import report as page
from sdaug.compare import Choice
from sdaug.measure.sysfs import BoardState
from sdaug.report import device, pictures, write_report
from sdaug.results import Sweep, read_sweep
from sdaug.soak.report_size import MOST_BYTES, report_size, write_sweep

PICTURES = 4_000
"""Of 200 cells x 10 angles, raw and final."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two people, two settings, three angles, with pictures."""
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder, people=2, steps=(2, 50), angles=3)
    return folder


def written(sweep: Sweep, path: Path, **options) -> BeautifulSoup:
    return BeautifulSoup(
        write_report(sweep, path / "report.html", **options).read_text(encoding="utf-8"), "html.parser"
    )


def changed(folder: Path, tmp_path: Path, change) -> Sweep:
    """The sweep in `folder` with `change` applied to each result, in a copy of its figures."""
    sweep = read_sweep(folder)
    results = [json.loads(json.dumps(result)) for result in sweep.results]
    for result in results:
        change(result)
    return Sweep(
        sweep.folder, sweep.experiment, sweep.baseline, tuple(results), sweep.varied, sweep.choice, sweep.table
    )


def table(soup: BeautifulSoup, label: str) -> list[list[str]]:
    region = soup.find(attrs={"aria-label": label})
    return [[cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])] for row in region.find_all("tr")]


# -- what it says


def test_the_sections_come_in_order_and_each_link_has_its_place(folder, tmp_path):
    soup = written(read_sweep(folder), tmp_path)
    ids = [heading["id"] for heading in soup.find_all("h2")]
    assert ids == ["costs", "settings", "stages", "baseline", "pictures", "poses", "failures", "device", "provenance"]
    assert {link["href"] for link in soup.nav.find_all("a")} == {f"#{name}" for name in ids}


@pytest.mark.parametrize(("calls", "scale"), [([], "linear"), ([0.5], "linear"), (None, "log")])
def test_the_chart_is_drawn_whatever_was_timed(folder, tmp_path, calls, scale):
    """Nothing repeated, all alike, and one setting a hundred times as slow as another."""
    from sdaug.charts import latency_against_similarity
    from sdaug.compare import table as figures

    def change(result):
        slow = result["setting"] == read_sweep(folder).baseline
        result["latency_s"]["call"] = [100.0 if slow else 1.0] if calls is None else calls

    sweep = changed(folder, tmp_path, change)
    sweep = replace(sweep, table=figures(sweep.results, sweep.varied).set_index("key"))
    (axes,) = latency_against_similarity(sweep).axes
    assert axes.get_xscale() == scale


def test_the_seconds_of_each_stage_stand_by_setting(folder, tmp_path):
    sweep = changed(folder, tmp_path, lambda result: result["record"]["stages"].pop("warp", None)
                    if result["settings"]["generation"]["num_inference_steps"] == 50 else None)  # fmt: skip
    assert table(written(sweep, tmp_path), "Stages") == [
        ["setting", "warp", "unet"],
        ["num_inference_steps 2 (chosen)", "0.100", "0.040"],
        ["num_inference_steps 50 (baseline)", "–", "1.000"],
    ]
    bare = changed(folder, tmp_path, lambda result: result["record"].pop("stages"))
    assert written(bare, tmp_path).find(id="stages") is None


def test_of_two_people_the_figures_stand_there_and_no_claim(folder, tmp_path):
    soup = written(read_sweep(folder), tmp_path)
    assert "no claim can be made with 2 people" in soup.get_text()
    rows = table(soup, "Against the baseline")
    assert [row[-7] for row in rows[1:4]] == ["no claim"] * 3
    difference, kept = rows[1][2:4]
    assert -0.2 < float(difference) < -0.05, "of 48 steps, 0.002 each"
    assert 0.7 < float(kept) < 0.95 and rows[1][5] == "no", "0.95 is what the mission asks for"


def test_of_twenty_people_the_differences_have_intervals_and_the_mission_stands_beside(tmp_path):
    write_sweep(tmp_path / "sweep", people=20, steps=(2, 48, 50), angles=2, pictures=False)
    rows = table(written(read_sweep(tmp_path / "sweep"), tmp_path), "Against the baseline")
    few, near = rows[1], rows[5]
    assert few[0].startswith("num_inference_steps 2") and few[4:6] == ["fails", "no"]
    assert near[0].startswith("num_inference_steps 48") and near[5] == "yes"
    assert all(" to " in row[2] and " to " in row[3] for row in (few, near))


def test_where_no_setting_is_chosen_the_bundle_is_said_to_hold_the_source_alone(folder, tmp_path):
    sweep = read_sweep(folder)
    none = Sweep(
        sweep.folder, sweep.experiment, sweep.baseline, sweep.results, sweep.varied, Choice(None, "w"), sweep.table
    )
    verdict = written(none, tmp_path).find(attrs={"aria-label": "Verdict"}).get_text()
    assert "No setting chosen" in verdict and "holds the source photo alone" in verdict


def test_by_pose_gives_similarity_and_acceptance_of_every_setting(folder, tmp_path):
    sweep = read_sweep(folder)
    rows = table(written(sweep, tmp_path), "By pose")
    assert rows[0] == ["setting", "yaw +0 pitch +0", "yaw +45 pitch +0", "yaw -45 pitch +0"] and len(rows) == 3
    assert rows[1][0].endswith("(baseline)") and rows[2][0].endswith("(chosen)")
    raw = [r["record"]["angles"][1]["raw"] for r in sweep.results if r["setting"] == sweep.baseline]
    alike = sum(judged["similarity_at_requested_landmarks"]["dlib_resnet"] for judged in raw) / 2
    assert rows[1][2] == f"{alike:.3f} {sum(judged['accepted'] for judged in raw)} of 2"


def test_a_sweep_in_which_everything_failed_still_has_a_page(folder, tmp_path):
    sweep = read_sweep(folder)
    kept = ("schema", "key", "setting", "seed", "person", "settings")
    failed = [{k: r[k] for k in kept} | {"status": "failed", "error": "RuntimeError: why"} for r in sweep.results]
    for result in failed:
        (tmp_path / "cells" / result["key"]).mkdir(parents=True)
        (tmp_path / "cells" / result["key"] / "result.json").write_text(json.dumps(result))
    for name in ("sweep.json", "chosen.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    soup = written(read_sweep(tmp_path), tmp_path)
    assert "4 of 4 cells made nothing" in soup.get_text() and len(table(soup, "Failures")) == 5


# -- who is shown


def test_every_picture_says_whose_it_is_and_what_became_of_it(folder, tmp_path):
    soup = written(read_sweep(folder), tmp_path)
    made = soup.find(id="pictures").find_all_next("img")
    final = [a for r in read_sweep(folder).results for a in r["record"]["angles"] if a["accepted"]]
    assert len(made) == 2 + 4 * 3 + len(final), "photos, raw pictures, and what was kept"
    assert all(image["alt"] and image["src"].startswith("data:image/webp;base64,") for image in made)
    assert "somebody0, seed 0, num_inference_steps 2, yaw +45, pitch +0, raw: accepted" in [i["alt"] for i in made]


@pytest.mark.parametrize("by", ["the experiment", "the caller"])
def test_without_faces_there_is_no_picture_and_no_name_anywhere(by, folder, tmp_path):
    def lost(result):
        if result["person"] == "somebody1":
            result["status"], result["error"] = "failed", "PhotoError: people/somebody1.png holds no face"

    sweep = changed(folder, tmp_path, lost)
    sweep.experiment["log_images"] = by != "the experiment"
    soup = written(sweep, tmp_path, faces=by != "the caller")
    text = str(soup)
    assert "webp" not in text and "somebody" not in text
    assert "people/person 2.png holds no face" in text and "photo of person 1" in text


def test_more_people_than_there_is_room_for_are_left_out_and_that_is_said(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST", 12)  # one person: 2 settings x 3 angles x 2
    soup = written(read_sweep(folder), tmp_path)
    assert "Shown are the first 1 of 2 people" in soup.get_text()
    assert soup.find("h3", string="somebody0, seed 0") and not soup.find("h3", string="somebody1, seed 0")
    monkeypatch.setattr(pictures, "MOST", 3)
    assert written(read_sweep(folder), tmp_path).find("h3", string="somebody0, seed 0"), "the first one always"


def test_a_removed_contact_sheet_leaves_grey_fields(folder, tmp_path):
    sweep = read_sweep(folder)
    copy = Sweep(tmp_path, *[getattr(sweep, name) for name in list(Sweep.__dataclass_fields__)[1:]])
    soup = written(copy, tmp_path)
    assert not soup.find_all("img", src=lambda s: "webp" in s) and len(soup.find_all(class_="empty")) == 4 * 3 * 2


# -- the device


def test_only_what_a_device_told_is_a_number(folder, tmp_path):
    told = " ".join(written(read_sweep(folder), tmp_path).find(id="device").find_all_next(string=True))
    assert "Not recorded in these cells." in told and "Not told by this device: cuda allocated peak" in told
    assert "°C" not in told and "MHz" not in told

    rows = device.memory_meters(read_sweep(folder).results)
    assert {name: value for name, _, value in rows if value is not None} == {
        "resident peak sampled": 10**9 + 50 * 10**7,
        "resident peak": 2 * 10**9,
    }


def test_looks_at_the_device_are_given_as_ranges_and_their_gaps_are_said(folder, tmp_path):
    cool = BoardState({"VDD_GPU_SOC": 2000.0}, {"gpu": 306.0}, {"gpu": 41.2}, (), "2").report()
    hot = BoardState({"VDD_GPU_SOC": 9000.0}, {"gpu": 1300.5}, {}, ("gpu-throttle",), None).report()

    def looked(result):
        result["telemetry"], result["energy_j"] = {"before": cool, "after": hot}, 31.4

    found = device.telemetry(changed(folder, tmp_path, looked).results)
    assert found.recorded and found.not_told == ()
    assert dict(found.told) == {
        "clock, gpu": "306 to 1300 MHz", "temperature, gpu": "41 °C", "power, VDD_GPU_SOC": "2000 to 9000 mW",
        "power of module or card": "2000 to 9000 mW", "throttling": "gpu-throttle", "power mode": "2",
        "energy of module or card, a cell's calls": "31 J",
    }  # fmt: skip

    def blind(result):
        result["telemetry"] = {"before": None, "after": BoardState({}, {}, {}, (), None).report()}

    nothing = changed(folder, tmp_path, blind)
    assert device.telemetry(nothing.results).told == ()
    text = written(nothing, tmp_path).get_text()
    assert "Not told by this device: clock, temperature, power, power of module or card, throttling" in text


def test_two_machines_are_two_lists(folder, tmp_path):
    def elsewhere(result):
        if result["person"] == "somebody1":
            result["record"]["environment"]["gpu"] = "a card"

    found = device.machines(changed(folder, tmp_path, elsewhere).results)
    assert [(one["cells"], dict(one["facts"])["GPU"]) for one in found] == [(2, "none"), (2, "a card")]


# -- how big


def test_a_picture_is_small_enough_for_four_thousand(monkeypatch, tmp_path):
    monkeypatch.setattr("sdaug.soak.report_size.opening_s", lambda page: None)

    def bytes_of_all() -> float:
        """Of a page with 4 000 pictures, from that of a small one: what is not a picture is counted with them."""
        made = report_size(people=2, steps=(2, 4, 8), angles=10)
        assert made["not_measured"] == ["opening_s"] and made["cells"] == 6 and made["pictures"] > 100
        return (made["bytes"] - len(page._template("report.css"))) / made["pictures"] * PICTURES

    assert bytes_of_all() < MOST_BYTES
    monkeypatch.setattr(pictures, "SIDE_PX", 160)
    monkeypatch.setattr(pictures, "QUALITY", 90)
    assert bytes_of_all() > MOST_BYTES, "as the contact sheets are, they would not fit"
