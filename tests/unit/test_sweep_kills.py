"""The soak of killed sweeps in small, and that it can fail."""

import json

import pytest

from sdaug.soak import sweep_kills as soak

pytestmark = pytest.mark.slow


def test_a_sweep_killed_at_random_moments_and_resumed_is_as_one_that_was_not():
    found = soak.sweep_kills(kills=1, seed=3)
    assert found["passed"] and found["kills"] == len(found["moments_s"]) == 1, found["problems"]


def test_what_differs_and_what_runs_is_noticed(tmp_path, monkeypatch):
    cell = {
        "status": "finished",
        "latency_s": {"import": 0.0, "load": 1},
        "record": {"angles": [{"latency_s": 2, "accepted": True}]},
    }
    bare = soak.without_clocks(cell)
    assert bare == {"status": "finished", "record": {"angles": [{"accepted": True}]}}
    failed = soak.differences({"a": bare, "b": "1"}, {"a": bare | {"status": "failed"}, "c": "2"})
    assert failed == ["b: missing", "c: not expected", "a.status: 'failed' instead of 'finished'"]

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.json").write_text(json.dumps({"settings": [{"key": "s"}, {"key": "t"}]}))
    child = {"run_id": "1", "status": "RUNNING", "tags": {soak.PARENT_TAG: "0", soak.SETTING_TAG: "s"}}
    parent = {"run_id": "0", "status": "KILLED", "tags": {}}
    monkeypatch.setattr(soak, "read_runs", lambda *_: [child, parent])
    assert soak.run_problems(tmp_path) == [
        "run 1 is RUNNING", "a parent is KILLED", "runs of the settings ['s'] instead of ['s', 't']",
    ]  # fmt: skip
