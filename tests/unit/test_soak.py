"""The long proofs in small, and that they can fail."""

import json
from pathlib import Path

import pytest

from sdaug.config import RunSettings
from sdaug.soak import __main__ as soaking
from sdaug.soak import parts
from sdaug.soak.call_faults import all_faults
from sdaug.soak.endurance import LIMIT, Growth, endure, load_generate_cleanup
from sdaug.soak.load_faults import all_load_faults

MB = 10**6


def test_load_generate_and_cleanup_again_and_again_does_not_grow():
    """Resident memory needs more rounds than these to settle; what is allocated and not freed does not."""
    small = RunSettings.model_validate(
        {
            "model": {"model_id": "random", "device": "cpu"},
            "generation": {"num_inference_steps": 1, "num_angles": 1, "size": 128},
        }
    )
    grown = endure(load_generate_cleanup(small), 6, warm_up=3)
    assert grown.heap_growth is None or grown.heap_growth <= 0.005, grown
    assert grown.growth <= 2 * LIMIT, grown


def test_a_leak_is_noticed():
    kept = []
    grown = endure(lambda: kept.append(bytearray(80 * MB)), 6, warm_up=2)
    assert grown.growth > LIMIT and grown.bytes_per_round == pytest.approx(80 * MB, rel=0.1)
    assert grown.heap_growth is None or grown.heap_growth > LIMIT
    assert grown.facts()["passed"] is False


def test_what_warms_up_does_not_count():
    grown = Growth((100, 900, 1000, 1040, 1000, 1010), warm_up=2)
    assert (grown.growth, grown.facts()["passed"]) == (0.04, True) and grown.heap_growth is None
    assert Growth((1, 1000, 1060, 1000), warm_up=1).facts()["passed"] is False
    with pytest.raises(ValueError, match="3 rounds; at least two more than the 2"):
        endure(lambda: None, 3, warm_up=2)


def test_a_round_without_diffusion_is_an_error():
    with pytest.raises(RuntimeError, match="weights_missing"):
        load_generate_cleanup(RunSettings.model_validate({"model": {"model_id": "./nowhere", "device": "cpu"}}))()


def test_every_stage_chunk_depth_and_wording_is_in_the_full_run():
    assert len(set(all_faults())) == 10 * 3 * 4 * 6 and len(set(all_load_faults())) == 5 * 2 * 6 * 2


def test_the_result_says_of_which_code_when_and_where(tmp_path, monkeypatch):
    monkeypatch.setattr(soaking, "ProcessPoolExecutor", Here)
    monkeypatch.setitem(parts.PARTS, "endurance", lambda: {"passed": True, "rounds": 1})
    out = tmp_path / "results" / "soak.json"
    assert soaking.main(["--out", str(out), "--only", "endurance"]) == 0
    result = json.loads(out.read_text())
    made = result["parts"]["endurance"]
    assert result["schema"] == "sdaug.soak/2" and made["passed"] is True and made["machine"]["cores"] >= 1
    assert made["rounds"] == 1 and made["seconds"] >= 0 and "T" in made["date"]
    assert made["commit"] is None or len(made["commit"]["sha"]) == 40
    assert result["passed"] is False and "bundle_bits" in result["never_made"], "one of many was made"
    monkeypatch.setitem(parts.PARTS, "endurance", lambda: {"passed": False})
    assert soaking.main(["--out", str(out), "--only", "endurance"]) == 1
    assert json.loads(out.read_text())["parts"]["endurance"]["passed"] is False


def test_parts_are_made_one_by_one_into_one_result(tmp_path, monkeypatch):
    monkeypatch.setattr(soaking, "ProcessPoolExecutor", Here)
    two = {"one": lambda: {"passed": True}, "two": lambda: {"passed": True}}
    for module in (parts, soaking):
        monkeypatch.setattr(module, "PARTS", two)
    out = tmp_path / "soak.json"
    out.write_text(json.dumps({"schema": "sdaug.soak/2", "parts": {"gone": {"passed": True}}}))
    for name, passed in (("one", False), ("two", True)):
        assert soaking.main(["--out", str(out), "--only", name]) == 0
        assert json.loads(out.read_text())["passed"] is passed
    assert set(json.loads(out.read_text())["parts"]) == {"one", "two"}


class Here:
    """In this process, where a test's changes are seen."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        self.answer = function(*arguments)
        return self

    def result(self):
        return self.answer


def test_every_proof_there_is_can_be_run():
    files = {path.stem for path in Path(parts.__file__).parent.glob("*.py")}
    helpers = {"__init__", "__main__", "parts", "faults", "service_server"}
    source = Path(parts.__file__).read_text(encoding="utf-8")
    assert {
        name for name in files - helpers if f"soak.{name} import" not in source and f"import {name}" not in source
    } == set()
    assert len(parts.PARTS) >= len(files - helpers)
