"""The admin page in a real headless Chromium before a real service: phone and desktop, by keyboard, for everybody."""

import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from time import sleep

import pytest

from sdaug.photos import photo_path
from sdaug.service.vault import KEY_VARIABLE, new_key

pytestmark = pytest.mark.browser
WIDTHS = {"phone": 390, "tablet": 820, "desktop": 1280}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a service and a key to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("sdaug")), "serve", "--port", str(port), "--steps", "2"]
    command += ["--data", str(tmp_path_factory.mktemp("service") / "data"), "--model", "sdaug-nano", "--device", "cpu"]
    environment = os.environ | {KEY_VARIABLE: new_key()}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    key = re.search(r"once: (\S+)", process.stdout.readline())
    address = f"http://127.0.0.1:{port}/"
    for _ in range(300):
        try:
            with urllib.request.urlopen(address + "healthz"):
                break
        except urllib.error.URLError:
            sleep(0.2)
    assert key
    yield address, key[1]
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture(params=WIDTHS)
def page(request, browser, served):
    """The page, signed in by keyboard, once the generator's availability is known."""
    address, key = served
    context = browser.new_context(viewport={"width": WIDTHS[request.param], "height": 900}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.asked, page.errors = [], []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.errors.append(said.text))
    page.goto(address)
    page.get_by_label("API key").press_sequentially(key)
    page.keyboard.press("Enter")
    page.get_by_text("Stable Diffusion: Ready (sdaug-nano)").wait_for()
    page.errors.clear()  # before one is signed in, the first question is answered 401
    yield page
    assert page.errors == []
    assert all(url.startswith((address, "blob:")) for url in page.asked), "nothing comes from elsewhere"
    assert not [url for url in page.asked if key in url]
    context.close()


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

    page.locator("#comparePhoto").set_input_files(str(photo_path("astronaut")))
    page.get_by_role("button", name="Compare").click()
    page.locator("#compareRows tr").first.wait_for()
    assert "match" in page.locator("#compareRows").text_content()
    assert fits(page) and accessible(page) == []

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete Ayesha Khan").first.click()
    page.get_by_text("Deleted Ayesha Khan").wait_for()
    assert page.locator("#peopleRows tr").count() == 0


@pytest.mark.parametrize("page", ["phone", "desktop"], indirect=True)
def test_views_are_shown_and_the_chosen_ones_enrolled(page):
    fill(page, 10_000 + page.viewport_size["width"])
    page.get_by_label(re.compile("AI augmentation")).press("Space")
    page.get_by_label("Number of angles").select_option("3")
    page.get_by_role("button", name="Enroll", exact=True).click()
    page.locator("#loadingOverlay").wait_for()
    assert page.evaluate("document.activeElement.id") == "cancelGeneration"
    page.get_by_role("dialog", name="Generated angles").wait_for()
    pictures = page.locator("#sdPreviewGrid img")
    assert pictures.count() >= 2
    page.wait_for_function("[...document.querySelectorAll('#sdPreviewGrid img')].every((i) => i.naturalWidth === 512)")
    assert fits(page) and accessible(page) == []
    page.locator("#sdPreviewGrid input").first.uncheck()
    page.get_by_role("button", name="Accept & Enroll with These Angles").press("Enter")
    page.get_by_role("heading", name="Successfully enrolled Ayesha Khan").wait_for()
    assert int(page.locator("#countGenerated").text_content()) <= pictures.count() - 1
    assert page.locator("#generationTime").text_content().endswith(" s")
    assert "rejected_by_reviewer" in page.locator("#enrolNotes").text_content()
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
