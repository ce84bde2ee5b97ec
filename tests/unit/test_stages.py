"""Seconds by stage."""

import json
import subprocess
import sys

import pytest

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import NANO, ModelSettings, RunSettings
from sdaug.face.photo import read_photo
from sdaug.measure import stages as module
from sdaug.measure.stages import stage, stages
from sdaug.photos import BUNDLED, photo_path
from sdaug.record import manifest


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that shows what a test puts into it."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_a_stage_within_another_counts_for_itself_alone(clock: list[float]) -> None:
    with stages() as seconds:
        for _ in range(2):
            with stage("outer"):
                clock[0] += 1
                with stage("inner"):
                    clock[0] += 4
                clock[0] += 2
    assert seconds == {"inner": [4.0, 4.0], "outer": [3.0, 3.0]}


def test_a_stage_that_fails_is_counted_and_its_error_is_seen(clock: list[float]) -> None:
    with stages() as seconds:
        with pytest.raises(KeyError), stage("outer"):
            clock[0] += 1
            raise KeyError("x")
        with stage("next"):
            clock[0] += 5
    assert seconds == {"outer": [1.0], "next": [5.0]}


def test_outside_of_a_collection_nothing_is_kept(clock: list[float]) -> None:
    with stage("lost"):
        clock[0] += 1
    with stages() as seconds:
        pass
    assert seconds == {}


def test_a_record_has_every_stage_of_its_call() -> None:
    settings = RunSettings(
        model=ModelSettings(model_id=NANO, device="cpu"), generation={"num_inference_steps": 2, "hole_strength": 1.0}
    )
    record = GenerativeAugmentor(settings=settings).augment(read_photo(photo_path(BUNDLED)), num_angles=2)
    wanted = {"landmarks", "embedding", "quality", "head", "warp", "control", "text", "hint", "vae_encode", "step"}
    assert set(record.stages) == wanted | {"vae_decode", "blend"}
    assert len(record.stages["step"]) == 2 and len(record.stages["warp"]) == 2
    assert 0.5 * record.timings["angles_s"] < sum(map(sum, record.stages.values())) < record.timings["total_s"]
    assert manifest(record, {})["stages"]["step"]["n"] == 2


def test_importing_is_timed_apart_from_loading():
    """In a fresh process: after the import, loading brings in nothing of PyTorch and transformers, so its seconds are
    those of weights; and a second import costs nothing."""
    code = """
import json, sys
from sdaug.config import ModelSettings
from sdaug.diffusion.libraries import import_libraries
from sdaug.diffusion.obtain import obtain
from sdaug.config import RunSettings
settings = RunSettings(model=ModelSettings(model_id="sdaug-nano", device="cpu"))
first = import_libraries()
before = set(sys.modules)
found = obtain(settings)
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps([first, found.import_s, found.load_s, sorted(new & {"torch", "transformers", "accelerate"})]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, again, load_s, new = json.loads(done.stdout)
    assert first > 0.5 and again < first / 50 and load_s > 0 and new == []
