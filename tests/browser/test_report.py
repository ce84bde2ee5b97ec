"""The report as a reader meets it, in a real headless Chromium: at two widths, by keyboard, offline, for everybody."""

import json
from pathlib import Path

import pytest

from sdaug.compare import Choice
from sdaug.report import write_report
from sdaug.results import Sweep, read_sweep
from sdaug.soak.report_size import write_sweep

pytestmark = pytest.mark.browser
WIDTHS = {"phone": 390, "desktop": 1280}


HOSTILE = "<script>document.title = 'broken out'</script>\"'"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    """Three settings on twenty people with pictures, as a sweep writes them; one cell failed, what people wrote is
    hostile."""
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder, people=20, steps=(2, 20, 50), angles=2)
    for path in (folder / "cells").glob("*-0/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"person": HOSTILE}))
    path = folder / "cells/steps0020-7/result.json"
    result = json.loads(path.read_text())
    kept = {name: result[name] for name in ("schema", "key", "setting", "seed", "person", "settings")}
    path.write_text(json.dumps(kept | {"status": "failed", "error": f"RuntimeError: {HOSTILE}"}))
    index = json.loads((folder / "sweep.json").read_text())
    index["experiment"]["question"] = f"What? {HOSTILE}"
    (folder / "sweep.json").write_text(json.dumps(index))
    (folder / "chosen.json").write_text(json.dumps({"key": "steps0002", "why": f"it is so {HOSTILE}"}))
    return read_sweep(folder)


@pytest.fixture(scope="module", params=WIDTHS)
def page(request, browser, sweep, tmp_path_factory):
    path = write_report(sweep, tmp_path_factory.mktemp("report") / "report.html")
    page = browser.new_page(viewport={"width": WIDTHS[request.param], "height": 900}, locale="en-GB")
    page.asked, page.errors = [], []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(path.as_uri())
    # A screenshot of the whole page scrolls nowhere, so that what comes with scrolling would be missing.
    page.evaluate("document.querySelectorAll('.person').forEach((one) => one.style.contentVisibility = 'visible')")
    page.evaluate("document.querySelectorAll('img').forEach((picture) => picture.loading = 'eager')")
    page.wait_for_function("[...document.images].every((picture) => picture.complete)")
    shots = Path("build/browser")
    shots.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=shots / f"report-{request.param}.png", full_page=True)
    yield page
    page.close()


def test_it_opens_offline_and_without_an_error(page):
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == [] and page.errors == []


def test_what_people_wrote_stays_text(page):
    assert page.title().startswith("large") and HOSTILE in page.inner_text("main")


def test_the_page_itself_never_scrolls_sideways(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_no_accessibility_rule_is_broken(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    broken = axe.run(page).response["violations"]
    assert [(rule["id"], [node["html"][:120] for node in rule["nodes"]][:3]) for rule in broken] == []


def test_the_chart_has_a_mark_a_setting_and_is_read_by_keyboard(page, sweep):
    marks = page.locator("#pareto .mark")
    assert marks.count() == 3 and page.locator("#pareto polygon.mark").count() == 1
    marks.nth(2).focus()
    told = page.inner_text("#told")
    assert "num_inference_steps 2:" in told and "seconds an angle" in told and told.startswith("Chosen")


def test_another_axis_moves_the_marks(page):
    before = page.locator("#pareto circle.mark").nth(0).get_attribute("cx")
    page.select_option("#across", "peak, GB")
    page.select_option("#across", "raw similarity")
    assert page.locator("#pareto circle.mark").nth(0).get_attribute("cx") != before


def test_the_verdict_leads_to_the_failures(page):
    page.get_by_role("link", name="1 of 60 cells made nothing.").click()
    assert page.evaluate("document.getElementById('failures').getBoundingClientRect().top < 20")
    assert HOSTILE in page.get_by_role("region", name="Failures").inner_text()


def test_every_picture_is_there(page):
    pictures = page.locator(".pictures img")
    assert pictures.count() > 20 * 2 * 3
    page.wait_for_function("[...document.querySelectorAll('.pictures img')].every((i) => i.naturalWidth === 104)")


def test_text_in_the_chart_is_as_large_as_it_says_at_every_width(page):
    """The chart is drawn as wide as it is shown; scaled down to a phone, its 13 px would be 6."""
    shown, drawn = page.evaluate("[pareto.getBoundingClientRect().width, pareto.viewBox.baseVal.width]")
    assert shown == pytest.approx(drawn, rel=0.02)
    middle = "[...pareto.querySelectorAll('text[text-anchor=middle]')].slice(0, -2)"
    labels = page.evaluate(f"{middle}.map((label) => label.getBoundingClientRect().toJSON())")
    assert len(labels) >= 2
    assert all(one["right"] < other["left"] for one, other in zip(labels, labels[1:], strict=False))


def test_print_fits_the_paper(page, tmp_path):
    """Nothing is cut off on the right of a landscape page."""
    width = page.viewport_size["width"]
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1032, "height": 700})  # A4 landscape less margins, at 96 px an inch
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": width, "height": 900})


def test_twenty_people_are_enough_for_a_claim_and_two_are_not(sweep, tmp_path):
    assert sweep.evidence.no_claim is None and sweep.evidence.people == 20
    page = write_report(sweep, tmp_path / "a.html").read_text()
    assert "Of people at large" not in page
    verdicts = {key: one.kept.verdict for key, one in sweep.evidence.comparisons["raw similarity"].items()}
    assert verdicts == {"steps0002": "fails", "steps0020": "fails"}, "fewer steps are less alike here"
    few = [result for result in sweep.results if result["person"] in (HOSTILE, "somebody1")]
    two = Sweep(
        sweep.folder, sweep.experiment, sweep.baseline, tuple(few), sweep.varied, Choice(None, "x"), sweep.table
    )
    assert "no claim can be made with 2 people" in write_report(two, tmp_path / "b.html").read_text()
