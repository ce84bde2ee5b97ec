"""What a dry run predicts: labelled, with intervals, and never a number for what is not known."""

import json

import pytest

from sdaug.cells import Person
from sdaug.costmodel.figures import Interval
from sdaug.experiment import Experiment, expand
from sdaug.planning.machine import machine_named
from sdaug.planning.plan import plan
from sdaug.planning.settings import Asked
from sdaug.planning.sweeps import Expected, Forecast, forecast

ADA, BEA = Person("ada", "ada.png", "0" * 64), Person("bea", "bea.png", "1" * 64)
BOARD = "orin-agx-64"


def cells(people=(ADA, BEA), **content):
    base = {"model": {"model_id": "random-sd15", "device": "cpu"}, "generation": {"num_angles": 5}}
    given = {"experiment": "x", "photo": "astronaut", "base": base} | content
    return expand(Experiment.model_validate(given), people, lambda model: "")


def test_a_setting_takes_its_call_as_often_as_it_is_called_by_everybody():
    made = cells(grid={"generation.num_inference_steps": [2, 4]})
    found = forecast(made, repeats=2, device=BOARD)
    planned = plan(machine_named(BOARD), [Asked(str(i), made[2 * i].settings) for i in range(2)], 8.0)
    for one, alone in zip(found.settings, planned, strict=True):
        assert one.cells == 2 and one.cell_s == alone.five.seconds.times(3) and one.seconds == one.cell_s.times(2)
        assert alone.allocated_gb < one.peak_gb.low < one.peak_gb.predicted < one.peak_gb.high
    slow = found.settings[1]
    assert found.seconds.high == pytest.approx(sum(one.seconds.high for one in found.settings))
    assert slow.cell_s.predicted > found.settings[0].cell_s.predicted and found.peak_gb.high >= slow.peak_gb.high


def test_what_is_not_known_is_no_number():
    made = cells(
        also=[
            {"backend": "warp"},
            {"levers": {"channels_last": {}}},
            {"levers": {"model_cpu_offload": {}}},
            {"generation": {"num_inference_steps": 2}},
            {"model": {"model_id": "random"}},
        ],
        grid={"generation.num_inference_steps": [3]},
    )
    found = forecast(made, 0, BOARD)
    why = [one.why for one in found.settings]
    assert (
        why[0] == why[4] == ""
        and "random model is not" in why[5]
        and "runs no diffusion" in why[1]
        and why[2] == "channels_last: not modelled"
    )
    assert "model_cpu_offload" in why[3] or "one memory" in why[3]
    unknown = [one for one in found.settings if one.why]
    assert len(unknown) == 4 and all(one.cell_s is None and one.peak_gb is None for one in unknown)
    report = json.loads(json.dumps(found.report()))
    assert report["kind"].startswith("prediction, not a measurement") and report["cells_not_predicted"] == 8
    text = found.text()
    assert text.count("not predicted: ") == 4 and text.splitlines()[-1].endswith("; 8 cells not predicted")


def test_a_computer_that_was_not_calibrated_has_no_times_and_a_gpu_wants_a_name(monkeypatch):
    made = cells(people=[ADA])
    assert "was not calibrated" in forecast(made, 0).settings[0].why
    monkeypatch.setattr("sdaug.planning.sweeps.device_class", lambda device: "NVIDIA Something")
    with_gpu = cells(people=[ADA], base={"model": {"model_id": "random-sd15", "device": "cuda"}})
    found = forecast(with_gpu, 0)
    assert "'NVIDIA Something'? --device names it" in found.settings[0].why and found.seconds is found.peak_gb is None
    with pytest.raises(ValueError, match="orin-agx-64"):
        forecast(made, 0, "orin-agx-46")


def test_a_forecast_says_what_it_is():
    known = Expected("fast", 3, Interval(2.0, 1.0, 4.0), Interval(1.0, 0.9, 1.2))
    found = Forecast((known, Expected("odd", 1, why="no")))
    assert found.text().splitlines()[1:] == [
        "  fast: 3 cells, 2 (1-4) s each, 1 (0.9-1.2) GB",
        "  odd: 1 cell, not predicted: no",
        "together 6 (3-12) s one after the other, at most 1 (0.9-1.2) GB; 1 cell not predicted",
    ]
    assert found.text(together=False).splitlines() == found.text().splitlines()[:-1]
