"""The admin page in a real headless Chromium before a real service: phone and desktop, by keyboard, for everybody.

What was seen is in build/screenshots, to be looked at.
"""

import os
import re
import signal

import pytest

from sdaug.photos import photo_path
from sdaug.service.vault import KEY_VARIABLE, new_key
from sdaug.soak.service_server import PATIENT, SMALL_MODEL, Server

pytestmark = pytest.mark.browser
WIDTHS = {"phone": 390, "tablet": 820, "desktop": 1280}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a service with options of its own."""
    servers = []

    def serve(*options: str) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("service") / "data", *options, limits=PATIENT))
        servers[-1].start()
        return servers[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, new_key())
        yield serve
        for server in servers:
            server.kill(signal.SIGTERM)


@pytest.fixture(scope="module")
def served(start) -> Server:
    """A service that generates with the small model."""
    return start(*SMALL_MODEL)


@pytest.fixture(scope="module")
def without_sd(start) -> Server:
    """A service whose generator has no weights."""
    return start("--model", "nobody/no-such-model", "--device", "cpu")


@pytest.fixture
def open_page(browser, root):
    """Opens the page of a service and signs in by keyboard; `page.shot(name)` keeps what is to be seen."""
    opened = []
    folder = root / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    def visit(server: Server, width: str):
        context = browser.new_context(viewport={"width": WIDTHS[width], "height": 900}, locale="en-GB")
        page = context.new_page()
        opened.append((context, page, server))
        page.set_default_timeout(300_000)
        page.asked, page.errors = [], []
        page.shot = lambda name, whole=True: page.screenshot(
            path=folder / f"{name}-{WIDTHS[width]}.png", full_page=whole
        )
        page.on("request", lambda asked: page.asked.append(asked.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.errors.append(said.text))
        page.goto(server.address)
        page.get_by_label("API key").press_sequentially(server.key)
        page.keyboard.press("Enter")
        page.locator("#enrolForm").wait_for()
        page.errors.clear()  # before one is signed in, the first question is answered 401
        return page

    yield visit
    for context, page, server in opened:
        assert page.errors == []
        assert all(url.startswith((server.address, "blob:")) for url in page.asked), "nothing comes from elsewhere"
        assert not [url for url in page.asked if server.key in url]
        context.close()


@pytest.fixture(params=WIDTHS)
def page(request, open_page, served):
    """The page of `served`, once the generator's availability is known."""
    page = open_page(served, request.param)
    page.get_by_text("Stable Diffusion: Ready (sdaug-nano)").wait_for()
    return page


def fill(page, number: int) -> None:
    page.get_by_label("Name").fill("Ayesha Khan")
    page.get_by_label("National id (CNIC)").fill(f"35202-{number:07d}-1")
    page.locator("#personPhoto").set_input_files(str(photo_path("astronaut")))


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def accessible(page) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in axe.run(page).response["violations"]]


def test_enrol_without_sd_compare_and_delete(page):
    page.shot("empty")
    assert fits(page) and accessible(page) == []
    fill(page, page.viewport_size["width"])
    page.get_by_role("button", name="Enroll", exact=True).press("Enter")
    page.get_by_role("heading", name="Successfully enrolled Ayesha Khan").wait_for()
    assert page.locator("#countOriginal").text_content() == "1"
    assert (
        int(page.locator("#countTotal").text_content())
        == 1 + int(page.locator("#countTraditional").text_content())
        >= 8
    )
    assert page.evaluate("document.activeElement.id") == "enrolResult"
    page.locator("#peopleRows tr").first.wait_for()
    assert page.get_by_role("button", name="Delete Ayesha Khan").first.is_visible()
    page.shot("enrolled")

    page.locator("#comparePhoto").set_input_files(str(photo_path("astronaut")))
    page.get_by_role("button", name="Compare").click()
    page.locator("#compareRows tr").first.wait_for()
    assert "match" in page.locator("#compareRows").text_content()
    page.shot("compared")
    assert fits(page) and accessible(page) == []

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete Ayesha Khan").first.click()
    page.get_by_text("Deleted Ayesha Khan").wait_for()
    assert page.locator("#peopleRows tr").count() == 0


def test_views_are_shown_and_the_chosen_ones_enrolled(page):
    fill(page, 10_000 + page.viewport_size["width"])
    page.get_by_label(re.compile("AI augmentation")).press("Space")
    page.get_by_label("Number of angles").select_option("3")
    page.get_by_role("button", name="Enroll", exact=True).click()
    page.locator("#loadingOverlay").wait_for()
    assert page.evaluate("document.activeElement.id") == "cancelGeneration"
    page.get_by_text("Generating angle 2/3").wait_for()
    page.shot("progress", whole=False)
    page.get_by_role("dialog", name="Generated angles").wait_for()
    pictures = page.locator("#sdPreviewGrid img")
    assert pictures.count() >= 2
    page.wait_for_function("[...document.querySelectorAll('#sdPreviewGrid img')].every((i) => i.naturalWidth === 512)")
    assert fits(page) and accessible(page) == []
    page.locator("#sdPreviewGrid input").first.uncheck()
    page.shot("preview", whole=False)
    page.get_by_role("button", name="Accept & Enroll with These Angles").press("Enter")
    page.get_by_role("heading", name="Successfully enrolled Ayesha Khan").wait_for()
    assert int(page.locator("#countGenerated").text_content()) <= pictures.count() - 1
    assert page.locator("#generationTime").text_content().endswith(" s")
    assert "rejected by reviewer" in page.locator("#enrolNotes").text_content()
    page.shot("enrolled-with-sd")

    page.locator("#comparePhoto").set_input_files(str(photo_path("astronaut")))
    page.get_by_role("button", name="Compare").click()
    page.locator("#compareRows tr").first.wait_for()
    assert "match" in page.locator("#compareRows").text_content()
    page.shot("compared-with-sd")
    assert fits(page) and accessible(page) == []

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete Ayesha Khan").first.click()
    page.get_by_text("Deleted Ayesha Khan").wait_for()


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_a_generation_is_cancelled_and_signing_out_shows_nothing(page):
    fill(page, 20_000)
    page.get_by_label(re.compile("AI augmentation")).check()
    page.get_by_label("Number of angles").select_option("10")
    page.get_by_role("button", name="Enroll", exact=True).click()
    page.locator("#loadingOverlay").wait_for()
    page.keyboard.press("Escape")
    page.locator("#loadingOverlay").wait_for(state="hidden")
    assert not page.locator("#sdPreviewModal").is_visible() and not page.locator("#enrolResult").is_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    assert not page.locator("#signedIn").is_visible() and accessible(page) == []
    page.reload()
    page.get_by_label("API key").wait_for()
    page.errors.clear()  # 401, as it should be


@pytest.mark.parametrize("width", ["phone", "desktop"])
def test_without_sd_the_toggle_is_off_and_says_why(open_page, without_sd, width):
    page = open_page(without_sd, width)
    page.get_by_text(re.compile("Stable Diffusion: Not Available .weights_missing")).wait_for()
    assert page.get_by_label(re.compile("AI augmentation")).is_disabled()
    assert not page.locator("#sdAngleSelector").is_visible()
    page.shot("not-available")
    assert fits(page) and accessible(page) == []
    fill(page, 30_000 + page.viewport_size["width"])
    page.get_by_role("button", name="Enroll", exact=True).click()
    page.get_by_role("heading", name="Successfully enrolled Ayesha Khan").wait_for()


@pytest.mark.parametrize("page", ["phone", "desktop"], indirect=True)
def test_a_generator_that_fails_half_way_is_said_and_the_original_enrolled(page, served):
    fill(page, 40_000 + page.viewport_size["width"])
    page.get_by_label(re.compile("AI augmentation")).check()
    page.get_by_label("Number of angles").select_option("10")
    before = set(served.workers())
    page.get_by_role("button", name="Enroll", exact=True).click()
    page.get_by_text(re.compile("Generating angle [2-9]/10")).wait_for()
    # The generator's worker is the youngest: the face worker is there from the start.
    os.kill(max(set(served.workers()) - before or before), signal.SIGKILL)
    page.get_by_text("The original can still be enrolled.").wait_for()
    page.shot("failed-half-way", whole=False)
    assert not page.get_by_role("button", name="Accept & Enroll with These Angles").is_visible()
    assert fits(page) and accessible(page) == []
    page.get_by_role("button", name="Reject & Use Original Only").press("Enter")
    page.get_by_role("heading", name="Successfully enrolled Ayesha Khan").wait_for()
    assert page.locator("#countGenerated").text_content() == "0"
