"""The report as a reader meets it, in a real headless Chromium: at two widths, by keyboard, offline, for everybody."""

import json
from pathlib import Path

import pytest

from sdaug.compare import Choice
from sdaug.report import write_report
from sdaug.results import Sweep, read_sweep

pytestmark = pytest.mark.browser
WIDTHS = {"phone": 390, "desktop": 1280}


def angle(accepted: bool, similarity: float, yaw: float) -> dict:
    judged = {"accepted": accepted, "reasons": [] if accepted else ["blurred"]}
    return judged | {
        "index": int(yaw), "rung": "diffusion", "latency_s": 0.1, "image": None, "degraded": [],
        "requested": {"yaw_deg": yaw, "pitch_deg": 0.0}, "measured": {"yaw_deg": yaw, "pitch_deg": 0.0},
        "similarity": {"dlib_resnet": similarity},
        "raw": judged | {"similarity_at_requested_landmarks": {"dlib_resnet": similarity}},
    }  # fmt: skip


HOSTILE = "<script>document.title = 'broken out'</script>\"'"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    """Three settings on twenty people, written as a sweep writes them; one cell failed, one name is hostile."""
    folder = tmp_path_factory.mktemp("sweep")
    settings = [{"key": f"setting{i}", "varied": {"generation.num_inference_steps": i}} for i in (2, 4, 8)]
    cells = []
    for person in range(20):
        for setting in settings:
            key, steps = f"{setting['key']}-{person}", setting["varied"]["generation.num_inference_steps"]
            cells.append({"key": key, "setting": setting["key"], "load": "load"})
            result = {
                "schema": "sdaug.cell/2", "key": key, "setting": setting["key"], "seed": 0, "status": "finished",
                "person": HOSTILE if person == 0 else f"person {person}",
                "settings": {"backend": "diffusion", "levers": {}, "generation": {"num_inference_steps": steps,
                                                                                 "num_angles": 2}},
                "latency_s": {"load": 1.0, "first_call": 2.0, "call": [0.2 * steps + 0.01 * person]},
                "record": {
                    "angles": [angle(True, 0.5 + 0.01 * steps + 0.005 * person, yaw) for yaw in (0.0, 45.0)],
                    "memory": {"resident_peak": 10**9 + steps, "cuda_allocated_peak": None},
                    "pack": {"name": "embedded", "recognisers": ["dlib_resnet"], "files": {"own.dat": "0" * 64}},
                    "generator": {}, "source": {"sha256": "1" * 64, "width_px": 512, "height_px": 512},
                    "environment": {"processor": "a processor", "cores": 2, "gpu": None, "python": "3.11",
                                    "packages": {"sdaug": "1"}},
                },
            }  # fmt: skip
            if key == "setting4-7":
                result = {k: result[k] for k in ("schema", "key", "setting", "seed", "person", "settings")}
                result |= {"status": "failed", "error": f"RuntimeError: {HOSTILE}"}
            path = folder / "cells" / key / "result.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(result))
    experiment = {"experiment": "browser", "question": f"What? {HOSTILE}", "log_images": False}
    index = {"experiment": experiment, "baseline": "setting8", "settings": settings, "cells": cells}
    (folder / "sweep.json").write_text(json.dumps(index))
    (folder / "chosen.json").write_text(json.dumps({"key": "setting2", "why": f"it is so {HOSTILE}"}))
    return read_sweep(folder)


@pytest.fixture(scope="module", params=WIDTHS)
def page(request, browser, sweep, tmp_path_factory):
    path = write_report(sweep, tmp_path_factory.mktemp("report") / "report.html")
    page = browser.new_page(viewport={"width": WIDTHS[request.param], "height": 900}, locale="en-GB")
    page.asked, page.errors = [], []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(path.as_uri())
    shots = Path("build/browser")
    shots.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=shots / f"report-{request.param}.png", full_page=True)
    yield page
    page.close()


def test_it_opens_offline_and_without_an_error(page):
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == [] and page.errors == []


def test_what_people_wrote_stays_text(page):
    assert page.title().startswith("browser") and HOSTILE in page.inner_text("main")


def test_the_page_itself_never_scrolls_sideways(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_no_accessibility_rule_is_broken(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    broken = axe.run(page).response["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]][:3]) for rule in broken] == []


def test_the_chart_has_a_mark_a_setting_and_is_read_by_keyboard(page, sweep):
    marks = page.locator("#pareto .mark")
    assert marks.count() == 3 and page.locator("#pareto polygon.mark").count() == 1
    first = marks.nth(0)
    first.focus()
    told = page.inner_text("#told")
    assert "num_inference_steps 2" in told and "seconds an angle" in told and told.startswith("Chosen")


def test_another_axis_moves_the_marks(page):
    before = page.locator("#pareto circle.mark").nth(0).get_attribute("cx")
    page.select_option("#across", "peak, GB")
    page.select_option("#across", "raw similarity")
    assert page.locator("#pareto circle.mark").nth(0).get_attribute("cx") != before


def test_the_failure_stands_before_the_figures(page):
    text = page.inner_text("main")
    assert text.index("Failures") < text.index("Settings") < text.index("Against the baseline")


def test_twenty_people_are_enough_for_a_claim_and_two_are_not(sweep, tmp_path):
    assert sweep.evidence.no_claim is None and sweep.evidence.people == 20
    page = write_report(sweep, tmp_path / "a.html").read_text()
    assert "Of people at large" not in page
    verdicts = {key: one.kept.verdict for key, one in sweep.evidence.comparisons["raw similarity"].items()}
    assert verdicts == {"setting2": "fails", "setting4": "fails"}, "fewer steps are less alike here"
    few = [result for result in sweep.results if result["person"] in (HOSTILE, "person 1")]
    two = Sweep(
        sweep.folder, sweep.experiment, sweep.baseline, tuple(few), sweep.varied, Choice(None, "x"), sweep.table
    )
    assert "no claim can be made with 2 people" in write_report(two, tmp_path / "b.html").read_text()
