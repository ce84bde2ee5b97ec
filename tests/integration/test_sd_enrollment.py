"""Enrolment with Stable Diffusion, under the names the mission gives its tests; on the small model in the package."""

import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from sdaug.photos import photo_path
from sdaug.service.api_keys import create_key
from sdaug.service.app import create_app
from sdaug.service.settings import ServiceSettings


@pytest.fixture(scope="module")
def client_for(tmp_path_factory):
    """A client of a service whose generator is the given model."""
    opened = []

    def make(model_id: str, **model) -> TestClient:
        run = {
            "model": {"model_id": model_id, "device": "cpu", **model},
            "generation": {"num_inference_steps": 2, "batch_size": 1},
        }
        data = tmp_path_factory.mktemp("service") / "data"
        app = create_app(ServiceSettings.model_validate({"data": data, "run": run}))
        key = create_key(app.state.service.engine, "tests")
        client = TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer {key}"})
        opened.append(client)
        return client.__enter__()

    with pytest.MonkeyPatch.context() as patch:
        from sdaug.service.vault import KEY_VARIABLE, new_key

        patch.setenv(KEY_VARIABLE, new_key())
        yield make
        for client in opened:
            client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def nano_client(client_for):
    return client_for("sdaug-nano")


@pytest.fixture(scope="module")
def photo() -> bytes:
    return photo_path("astronaut").read_bytes()


def test_enroll_with_sd_augmentation(nano_client, photo):
    fields = {"name": "Ayesha Khan", "cnic": "35202-1234567-1", "use_sd_augmentation": "true", "sd_num_angles": "3"}
    answer = nano_client.post("/api/enroll", data=fields, files={"file": ("photo.png", photo)})
    assert answer.status_code == 200, answer.text
    enrolled = answer.json()
    assert enrolled["success"] is True and enrolled["message"] == "Successfully enrolled Ayesha Khan"
    counts = enrolled["augmentation_breakdown"]
    assert counts["original"] == 1 and counts["traditional"] >= 7
    made = [r for r in enrolled["rejected"] if r["kind"] == "generated"]
    by_rung = (enrolled["degraded"] or {"by_rung": {"diffusion": 3}})["by_rung"]
    assert sum(by_rung.values()) == 3
    assert counts["stable_diffusion"] == by_rung.get("diffusion", 0) + by_rung.get("diffusion_reduced", 0) >= 2
    assert len(made) == by_rung.get("refused", 0)
    assert sum(counts.values()) == enrolled["embeddings_created"]
    assert enrolled["sd_generation_time"] > 0
    scores = enrolled["quality_scores"]
    assert 0.7 <= scores["min"] <= scores["average"] <= scores["max"] <= 1


def test_enroll_sd_graceful_degradation(client_for, photo):
    """Weights that are not there: the person is enrolled all the same, and the answer says what is missing."""
    client = client_for("nobody/no-such-model")
    fields = {"name": "Ayesha Khan", "cnic": "35202-1234567-1", "use_sd_augmentation": "true", "sd_num_angles": "2"}
    answer = client.post("/api/enroll", data=fields, files={"file": ("photo.png", photo)})
    assert answer.status_code == 200, answer.text
    enrolled = answer.json()
    counts = enrolled["augmentation_breakdown"]
    assert counts["stable_diffusion"] == 0 and counts["original"] == 1 and counts["traditional"] >= 7
    assert enrolled["degraded"]["reason"] == "weights_missing"
    assert "diffusion" not in enrolled["degraded"]["by_rung"]
    status = client.get("/api/sd/status").json()
    assert (status["available"], status["model_name"]) == (False, "nobody/no-such-model")
    assert status["reason"] == "weights_missing" and status["message"]


def test_enroll_multiple_with_sd(nano_client, photo, astronaut):
    mirrored = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(astronaut.pixels[:, ::-1])).save(mirrored, "JPEG", quality=95)
    nobody = io.BytesIO()
    Image.fromarray(np.full((512, 512, 3), 120, np.uint8)).save(nobody, "PNG")
    answer = nano_client.post(
        "/api/enroll/multiple",
        data={"name": "Ayesha Khan", "cnic": "35202-1234567-2", "use_augmentation": "false",
              "use_sd_augmentation": "true", "sd_num_angles": "1"},
        files=[
            ("files", ("a.png", photo)),
            ("files", ("b.jpg", mirrored.getvalue())),
            ("files", ("c.png", nobody.getvalue())),
        ],
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    enrolled = answer.json()
    assert enrolled["augmentation_breakdown"]["original"] == 2
    assert sum(enrolled["augmentation_breakdown"].values()) == enrolled["embeddings_created"]
    assert [(r["photo"], r["reasons"]) for r in enrolled["rejected"] if r["kind"] == "photo"] == [(2, ["no_face"])]
    views = len([r for r in enrolled["rejected"] if r["kind"] == "generated"])
    assert enrolled["augmentation_breakdown"]["stable_diffusion"] + views <= 2
    too_many = nano_client.post(
        "/api/enroll/multiple", data={"name": "Ayesha Khan", "cnic": "35202-1234567-3", "sd_num_angles": "6"},
        files=[("files", ("a.png", photo))],
    )  # fmt: skip
    assert too_many.status_code == 422


def test_sd_quality_filtering(nano_client, astronaut):
    """A photo so dim that its views cannot reach `assess_quality > 0.7`: they are refused, each with its reason."""
    dim = io.BytesIO()
    Image.fromarray((astronaut.pixels * 0.35).astype(np.uint8)).save(dim, "PNG")
    fields = {"name": "Ayesha Khan", "cnic": "35202-1234567-4", "use_augmentation": "false",
              "use_sd_augmentation": "true", "sd_num_angles": "2"}  # fmt: skip
    answer = nano_client.post("/api/enroll", data=fields, files={"file": ("photo.png", dim.getvalue())})
    assert answer.status_code == 200, answer.text
    enrolled = answer.json()
    assert enrolled["augmentation_breakdown"] == {"original": 1, "traditional": 0, "stable_diffusion": 0}
    assert enrolled["quality_scores"] is None
    refused = [r for r in enrolled["rejected"] if r["kind"] == "generated"]
    assert len(refused) == 2 and all(r["reasons"] for r in refused)
