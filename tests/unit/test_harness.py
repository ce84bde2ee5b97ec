"""What the harness costs, and what its intervals are worth, on work that is known."""

import time

import numpy as np
import pytest

from sdaug.bench.timing import Spent, run_in_turn
from sdaug.measure import memory
from sdaug.measure.board import watch_board
from sdaug.measure.memory import watch
from sdaug.measure.stages import stage, stages

MOST = 0.01
"""Of the measured time, what measuring may take."""


def _work(own: list[float]) -> None:
    """Some 30 ms of arithmetic in this thread, which notes its own processor time."""
    began = time.thread_time()
    with stage("unet"):
        values = np.linspace(0, 1, 200_000)
        for _ in range(12):
            values = np.sin(values) + 0.1
        del values  # or giving it back would be nobody's time
    own.append(time.thread_time() - began)


def _others_share(rounds: int = 40) -> float:
    """Of the time that watched work took, a processor's for other threads than its own: the watchers'."""
    own: list[float] = []
    with watch(), watch_board():
        _work(own)
        everybody, own_began, began = time.process_time(), time.thread_time(), time.perf_counter()
        for _ in range(rounds):
            _work(own)
        others = (time.process_time() - everybody) - (time.thread_time() - own_began)
        return others / (time.perf_counter() - began)


def test_timing_in_turn_and_by_stage_adds_less_than_a_hundredth():
    own: list[float] = []
    with stages():
        spent = run_in_turn({"a": lambda: _work(own)}, 30, clock=time.thread_time)["a"]
    assert len(own) == 31 and min(own) > 0.005
    added = np.median(np.array(spent.values) / own[1:]) - 1
    assert 0 <= added < MOST


def test_watching_memory_and_board_takes_less_than_a_hundredth():
    assert _others_share() < MOST


def test_reading_that_is_slow_is_done_less_often(monkeypatch):
    read = memory._sampled

    def slow(root):
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        return read(root)

    monkeypatch.setattr(memory, "_sampled", slow)
    assert _others_share() < 5 * MOST, "one reading in so short a run weighs"
    monkeypatch.setattr(memory, "MOST_OF_THE_TIME", 1.0)
    assert _others_share() > 10 * MOST, "else this would see nothing"


def _run(generator: np.random.Generator, calls: int, seconds: float = 0.2) -> dict[str, float]:
    """What is said of a run on a machine whose calls scatter by 4 %, one in twenty held up by 40 %."""
    times = seconds * np.exp(0.04 * generator.standard_normal(calls))
    times *= np.where(generator.random(calls) < 0.05, 1.4, 1.0)
    return Spent(0.3, tuple(times)).report()


def _agree(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether the medians are no further apart than both intervals together allow, as independent errors add up."""
    low, high = sorted((one, other), key=lambda run: run["p50"])
    return high["p50"] - low["p50"] <= np.hypot(low["p50_high"] - low["p50"], high["p50"] - high["p50_low"])


@pytest.mark.parametrize("calls", [5, 10, 20])
def test_two_runs_of_one_setting_agree_within_their_intervals_95_times_in_100(calls):
    generator = np.random.default_rng(calls)
    agreed = np.mean([_agree(_run(generator, calls), _run(generator, calls)) for _ in range(400)])
    assert 0.93 <= agreed <= 0.995


def test_a_setting_a_seventh_slower_does_not_agree():
    generator = np.random.default_rng(0)
    agreed = np.mean([_agree(_run(generator, 10), _run(generator, 10, 0.23)) for _ in range(100)])
    assert agreed < 0.1
