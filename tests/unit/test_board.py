"""What a device tells of itself: looks, extremes, energy, and a card through a made-up NVML."""

import sys
import time
from types import SimpleNamespace

import pytest

from sdaug.measure.board import Looks, energy_j, read_board, read_card, watch_board
from sdaug.measure.environment import environment, first_line, software
from sdaug.measure.sysfs import BoardState

COOL = BoardState({"VDD_GPU_SOC": 2000.0, "VDD_CPU_CV": 500.0}, {"gpu": 306.0}, {"gpu": 41.0}, (), "2")
HOT = BoardState({"VDD_GPU_SOC": 9000.0, "VDD_CPU_CV": 1500.0}, {"gpu": 1300.0}, {"gpu": 88.0}, ("gpu-throttle",), "2")
MUTE = BoardState({}, {"cpu0": 2400.0}, {}, (), None)


def test_extremes_are_reading_by_reading_and_hold_what_only_one_look_saw():
    report = Looks([0.0, 1.0, 2.0], [COOL, HOT, COOL]).report()
    assert report["before"] == report["after"] == COOL.report()
    assert report["most"] == HOT.report() and report["least"] == COOL.report() | {"throttled": ("gpu-throttle",)}


def test_energy_is_power_over_time_and_none_where_one_look_did_not_tell():
    assert Looks([0.0, 1.0, 3.0], [COOL, HOT, HOT]).energy_j == pytest.approx((2.5 + 10.5) / 2 + 2 * 10.5)
    assert Looks([0.0, 1.0, 2.0], [COOL, MUTE, COOL]).energy_j is None


def test_times_that_do_not_rise_are_no_energy():
    with pytest.raises(ValueError, match="rising"):
        energy_j([0.0, 0.0], [1.0, 1.0])


def test_a_block_is_looked_at_before_during_and_after():
    states, seen = iter([COOL, HOT, COOL] + [COOL] * 1000), []

    def read():
        seen.append(next(states))
        return seen[-1]

    with watch_board(read, period_s=0.001) as looks:
        while len(seen) < 3:
            pass
    assert looks.states[0] is COOL and looks.report()["most"]["power_mw"]["VDD_GPU_SOC"] == 9000.0
    assert looks.seconds == sorted(set(looks.seconds)) and len(looks.seconds) == len(looks.states) == len(seen)


def test_looks_that_are_slow_are_rarer():
    def slow():
        ended = time.thread_time() + 0.004
        while time.thread_time() < ended:
            pass
        return COOL

    with watch_board(slow, period_s=0.001) as looks:
        time.sleep(0.5)
    assert len(looks.states) <= 4, "4 ms of every 1600, and both ends; each millisecond would be a hundred"


def test_energy_above_what_was_drawn_before():
    report = Looks([0.0, 1.0, 3.0], [COOL, HOT, HOT]).facts()
    assert report["looks"] == 3 and report["energy_j"] == pytest.approx(6.5 + 2 * 10.5)
    assert report["energy_above_before_j"] == pytest.approx(4.0 + 2 * 8.0)
    assert Looks([0.0, 1.0], [COOL, MUTE]).facts()["energy_above_before_j"] is None


def test_what_fails_within_the_block_is_seen_and_the_looks_end():
    with pytest.raises(KeyError), watch_board(lambda: COOL) as looks:
        raise KeyError("x")
    assert len(looks.states) == 2


class NvmlError(Exception):
    pass


def nvml(**answers):
    """A module that knows `answers` and refuses every other call, as NVML does what a card does not support."""

    def refuse(*_):
        raise NvmlError("not supported")

    calls = ("PowerUsage", "Temperature", "ClockInfo", "CurrentClocksThrottleReasons", "PerformanceState")
    known = {f"nvmlDeviceGet{name}": answers.get(name, refuse) for name in calls}
    return SimpleNamespace(NVMLError=NvmlError, NVML_CLOCK_SM=1, NVML_CLOCK_MEM=2, NVML_TEMPERATURE_GPU=0, **known)


def test_a_card_tells_power_clocks_temperature_and_what_holds_it_back():
    answers = {
        "PowerUsage": lambda card: 250_000,
        "Temperature": lambda card, sensor: 71,
        "ClockInfo": lambda card, clock: {1: 1980, 2: 2619}[clock],
        "CurrentClocksThrottleReasons": lambda card: 0x01 | 0x04 | 0x40,
        "PerformanceState": lambda card: 0,
    }
    state = read_card(nvml(**answers), object())
    held = ("power cap", "hardware thermal slowdown")
    assert state == BoardState({"GPU": 250000.0}, {"gpu": 1980.0, "gpu memory": 2619.0}, {"gpu": 71.0}, held, "P0")
    assert (state.total_mw, state.total_of) == (250000.0, ("GPU",))


def test_what_a_card_does_not_support_is_not_there():
    state = read_card(nvml(PowerUsage=lambda card: 12_000), object())
    assert state == BoardState({"GPU": 12000.0}, {}, {}, (), None)


def test_the_software_below_the_packages_is_told_and_none_where_there_is_none(tmp_path, monkeypatch):
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36 (release), REVISION: 4.0\nmore\n")
    assert first_line(release) == "# R36 (release), REVISION: 4.0" and first_line(tmp_path / "none") is None
    release.write_text("")
    assert first_line(release) is None
    torch = SimpleNamespace(
        version=SimpleNamespace(cuda="12.6"),
        backends=SimpleNamespace(cudnn=SimpleNamespace(version=lambda: 90300)),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert software() | {"driver": None, "l4t": None} == {
        "cuda": "12.6", "cudnn": "90300", "driver": None, "l4t": None,
    }  # fmt: skip
    monkeypatch.delitem(sys.modules, "torch")
    assert (software()["cuda"], software()["cudnn"]) == (None, None)


def test_this_machine_tells_what_it_tells():
    assert environment()["software"].keys() == {"cuda", "cudnn", "driver", "l4t"}
    state = read_board()
    assert all(value > 0 for value in state.clocks_mhz.values()) and (state.total_mw is None or state.total_mw > 0)
