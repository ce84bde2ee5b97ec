"""The admin page: the mission's elements and texts, labels, no foreign host; and the OpenAPI description."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import sdaug.service

FOLDER = Path(sdaug.service.__file__).parent / "page"


@pytest.fixture(scope="module")
def page() -> BeautifulSoup:
    return BeautifulSoup((FOLDER / "admin.html").read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def script() -> str:
    return (FOLDER / "admin.js").read_text(encoding="utf-8")


def test_the_mission_s_elements_are_there(page):
    assert page.find(id="useAugmentation").has_attr("checked")
    assert page.find(id="useSdAugmentation").has_attr("disabled") and not page.find(id="useSdAugmentation").has_attr(
        "checked"
    )
    assert page.find(id="sdAngleSelector").has_attr("hidden")
    options = {option["value"]: option.text for option in page.find(id="sdNumAngles").find_all("option")}
    assert {value: text.split("(")[1].rstrip(")") for value, text in options.items()} == {
        "3": "Fast", "5": "Recommended", "7": "Thorough", "10": "Maximum",
    }  # fmt: skip
    assert options["3"] == "3 angles (Fast)"
    assert page.find(id="sdNumAngles").find("option", selected=True)["value"] == "5"
    assert page.find(id="sdStatus").text == "Checking Stable Diffusion availability..."
    for identity in ("loadingOverlay", "sdProgressText", "sdProgressBar", "sdPreviewModal", "sdPreviewGrid"):
        assert page.find(id=identity) is not None, identity
    assert page.find(id="sdProgressText").text == "Initializing Stable Diffusion..."


@pytest.mark.parametrize("words", [
    "(brightness, rotation, etc.)", "NEW", "Reject & Use Original Only", "Accept & Enroll with These Angles",
    "Original", "Traditional", "AI Generated", "Total Embeddings", "Generation Time",
])  # fmt: skip
def test_the_mission_s_texts_are_on_the_page(page, words):
    assert words in page.get_text()


@pytest.mark.parametrize("words", [
    "Stable Diffusion: Ready (", "Stable Diffusion: Not Available", "Failed to enroll person", "Network error: ",
])  # fmt: skip
def test_the_mission_s_texts_are_in_the_script(script, words):
    assert words in script


def test_the_mission_s_steps_are_said_by_who_does_them(script):
    work = "".join(file.read_text(encoding="utf-8") for file in (FOLDER.parent / "work").glob("*.py"))
    for words in ("Initializing Stable Diffusion...", "Assessing quality...", "Finalizing..."):
        assert f'text="{words}"' in work and words not in script, words


def test_every_control_has_a_name(page):
    labelled = {label["for"] for label in page.find_all("label")}
    controls = page.find_all(["input", "select", "progress"])
    assert len(controls) >= 9
    for control in controls:
        assert control["id"] in labelled or control.get("aria-labelledby"), control
    assert all(button.text.strip() for button in page.find_all("button"))
    identities = [tag["id"] for tag in page.find_all(id=True)]
    assert len(identities) == len(set(identities))
    for tag in page.find_all(True):
        for attribute in ("aria-describedby", "aria-labelledby", "aria-controls"):
            assert set(str(tag.get(attribute, "")).split()) <= set(identities), tag
    assert page.html["lang"] and page.find("main") and page.find("h1") and page.find("meta", attrs={"name": "viewport"})
    for identity in ("sdStatus", "sdProgressText", "enrolResult"):
        assert page.find(id=identity)["role"] == "status"
    assert page.find(id="enrolError")["role"] == "alert"


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(page, script):
    for file in FOLDER.iterdir():
        assert not re.search(r"https?://|//[a-z]+\.", file.read_text(encoding="utf-8").replace("// ", "")), file.name
    for tag in page.find_all(True):
        assert not [name for name in tag.attrs if name.startswith("on") or name == "style"], tag
    assert all(tag.get("src") for tag in page.find_all("script")) and not page.find_all("style")
    for markup in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "localStorage",
        "sessionStorage",
    ):
        assert markup not in script


def test_every_element_that_the_script_uses_is_on_the_page(page, script):
    used = set(re.findall(r'\$\("(\w+)"\)', script))
    assert len(used) > 25
    assert {name for name in used if page.find(id=name) is None} == set()


def test_the_files_are_served(running):
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        answer = running.http.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        assert answer.content


def test_openapi_names_every_field_error_and_an_example(running):
    schema = running.http.get("/openapi.json").json()
    paths = schema["paths"]
    assert set(paths) == {
        "/api/enroll", "/api/enroll/multiple", "/api/sd/status", "/api/previews",
        "/api/previews/{preview_id}/images/{index}",
        "/api/jobs/{job_id}", "/api/jobs/{job_id}/events", "/api/persons", "/api/persons/{person_id}",
        "/api/persons/{person_id}/bundle", "/api/compare", "/api/session",
    }  # fmt: skip

    def fields_of(path: str) -> dict:
        return paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]

    form, several = fields_of("/api/enroll"), fields_of("/api/enroll/multiple")
    assert set(form) == {
        "name", "cnic", "file", "use_augmentation", "use_sd_augmentation", "sd_num_angles", "preview_id", "accepted",
        "consent_purpose", "legal_basis", "consent_reference", "retention_days",
    }  # fmt: skip
    several = paths["/api/enroll/multiple"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"][
        "properties"
    ]
    for name, fields, default, most in (("enroll", form, 5, 10), ("multiple", several, 3, 5)):
        angles = fields["sd_num_angles"]
        assert (angles["default"], angles["minimum"], angles["maximum"]) == (default, 1, most), name
        assert (fields["use_augmentation"]["default"], fields["use_sd_augmentation"]["default"]) == (True, False)
    assert (several["files"]["minItems"], several["files"]["maxItems"]) == (1, 10)
    errors = {"400", "401", "404", "409", "413", "415", "422", "429", "503"}
    assert set(paths["/api/enroll"]["post"]["responses"]) == errors | {"200"}
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation["summary"] and operation["description"], (method, path)
            for status in set(operation["responses"]) & errors:
                body = operation["responses"][status]["content"]["application/json"]["schema"]
                assert body == {"$ref": "#/components/schemas/Problem"}, (path, status)
                assert (status in ("429", "503")) == (
                    "Retry-After" in operation["responses"][status].get("headers", {})
                )
    parts = schema["components"]["schemas"]
    for name in ("EnrolAnswer", "SdStatus", "JobAnswer", "CompareAnswer", "PersonAnswer", "PersonDetail", "PersonList",
                 "Preview", "Problem"):  # fmt: skip
        assert parts[name]["example"], name
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
