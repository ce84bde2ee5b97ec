"""Predicted beside measured on this processor: rates, clocks, floors and the comparison's own arithmetic."""

import json
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from sdaug.bench import parts as part_by_part
from sdaug.bench import predicted as comparing
from sdaug.bench.case import Case, LeftOut
from sdaug.bench.predicted import Row, check_threads, rank_correlation, summary, table
from sdaug.bench.timing import ImpossibleTime, Spent, check_floor, run_in_turn
from sdaug.bench.wholes import whole_cases
from sdaug.config import RunSettings
from sdaug.costmodel import calibration
from sdaug.costmodel.calibration import Timed, fit_fresh, fit_rate, peak_gflops, seen_of, time_operator
from sdaug.costmodel.call import Call
from sdaug.costmodel.device import load_device
from sdaug.costmodel.figures import Interval
from sdaug.costmodel.nearby import Seen
from sdaug.costmodel.operators import operators
from sdaug.costmodel.parts import count_part
from sdaug.costmodel.predict import predict
from sdaug.costmodel.processor import Processor, Rate, check_rates, kernel_seconds, read_processor, seconds
from sdaug.costmodel.work import KINDS, Op, Work
from sdaug.planning.machine import half_format, machine_named
from sdaug.planning.plan import plan
from sdaug.planning.report import make_report
from sdaug.planning.settings import Asked, calls_of
from sdaug.planning.standard import local_settings, standard_settings


@pytest.fixture
def processor() -> Processor:
    """1 GFLOP/s, 1 GB/s read, 2 written, 1 us a launch, whatever the operator; 3 ns a byte of a fresh page."""
    rates = {kind: Rate(1e-9, 1e-9, 5e-10, 1e-6, 0.1, 5) for kind in KINDS}
    return Processor(
        "a test",
        1,
        8.0,
        {"float32": 2.0},
        {"float32": rates},
        {"float32": {}},
        3e-9,
        0.8,
        1.3,
        "2026-11-25T00:00:00+00:00",
    )


def test_a_processors_kernel_takes_its_arithmetic_and_its_traffic_and_its_launch(processor):
    work = Work(((Op("linear", 10**9, 2 * 10**9), 2), (Op("norm", 0, 10**9, 2**25 - 1), 1)))
    found = seconds(work, processor, "float32")
    assert found.predicted == pytest.approx(2 * (1 + 2) + 1 - 2**24 / 1e9 + 3e-6)
    fresh = seconds(Work(((Op("norm", 0, 10**9, 2**25), 1),)), processor, "float32").predicted
    assert fresh == pytest.approx(1 - 2**24 / 1e9 + 3 * 2**25 / 1e9 + 1e-6)
    assert (found.low, found.high) == pytest.approx((0.8 * found.predicted, 1.3 * found.predicted))
    with pytest.raises(ValueError, match="a test is not calibrated for float16; it is for float32"):
        seconds(work, processor, "float16")


def test_a_call_on_a_processor_has_a_floor_and_is_never_below_it(processor):
    found = predict(Call(images=1, unet=1, vae="tiny", dtype="float32"), processor)
    assert found.floor_s == found.roof_s == pytest.approx(found.flops / 2e9)
    assert found.seconds.low > found.floor_s and found.bound_by == "operators"


def test_a_kernel_like_those_that_were_timed_takes_what_they_took(processor):
    """Two timed operators on one line of the rate, the one four times as slow as it says; between them it is graded."""
    ops = [Op("conv3x3", 10**9, 10**8, 10**7), Op("conv3x3", 16 * 10**9, 10**8, 10**7)]
    by_rate = [kernel_seconds(op, processor.rates["float32"]["conv3x3"], 3e-9) for op in ops]
    timed = [Timed(ops[0], 4 * by_rate[0]), Timed(ops[1], by_rate[1])]
    seen = seen_of({"float32": timed}, processor.rates, 3e-9)
    knows = replace(processor, seen=seen)
    assert [one.ratio for one in seen["float32"]["conv3x3"]] == pytest.approx([4, 1])

    def ratio(op):
        work = Work(((op, 1),))
        return seconds(work, knows, "float32").predicted / seconds(work, processor, "float32").predicted

    assert ratio(ops[0]) == pytest.approx(4, rel=0.15) and ratio(ops[1]) == pytest.approx(1, rel=0.01)
    assert 1.3 < ratio(Op("conv3x3", 17 * 10**8, 10**8, 10**7)) < ratio(Op("conv3x3", 14 * 10**8, 10**8, 10**7)) < 4
    assert ratio(Op("conv3x3", 10**9, 10**10, 10**7)) == pytest.approx(1, abs=1e-6)  # unlike all that were timed
    assert ratio(Op("linear", 10**9, 10**8, 10**7)) == 1  # of another class


def test_a_calibration_is_kept_as_it_was(processor, tmp_path, monkeypatch):
    seen = {"float32": {"norm": (Seen(0, 10, 20, 1.5),)}}
    processor = replace(processor, seen=seen)
    assert read_processor(json.loads(json.dumps(processor.report()))) == processor
    with pytest.raises(ValueError, match="schema 'x'; 'sdaug.calibration/2' expected: `sdaug plan --device cpu --cal"):
        read_processor({"schema": "x"})
    monkeypatch.setenv("SDAUG_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "device_class", lambda device: "a test")
    assert calibration.remembered_calibration() is None
    calibration.remember_calibration(processor)
    assert machine_named("cpu") == processor


def test_every_class_needs_a_rate(processor):
    check_rates(processor.rates["float32"])
    with pytest.raises(ValueError, match="no rate for norm; one expected for each of conv3x3, linear"):
        check_rates({kind: rate for kind, rate in processor.rates["float32"].items() if kind != "norm"})


def test_rates_are_found_from_noisy_times_and_are_never_negative():
    rng = np.random.default_rng(0)
    ops = [Op("conv3x3", int(f), int(r + w), int(w)) for f, r, w in rng.uniform(1e5, 3e7, (60, 3)) * (30, 1, 1)]
    timed = [
        Timed(op, (op.flops / 5e10 + (op.bytes - op.written) / 1e9 + op.written / 4e9) * rng.uniform(0.97, 1.03))
        for op in ops
    ]
    rate = fit_rate(timed)
    assert 1 / rate.flop_s == pytest.approx(5e10, rel=0.15) and 1 / rate.read_s == pytest.approx(1e9, rel=0.05)
    assert 1 / rate.write_s == pytest.approx(4e9, rel=0.2)
    assert rate.launch_s >= 0 and rate.error < 0.03 and rate.n == 60
    backwards = [Timed(Op("norm", 0, size, size), 1.0 / size) for size in (10, 100, 1000, 10_000)]
    slope = fit_rate(backwards)
    assert slope.write_s == slope.read_s == 0 and slope.launch_s > 0
    with pytest.raises(ValueError, match="2 timed operators; 4 or more expected"):
        fit_rate(timed[:2])


def test_fresh_pages_are_told_apart_from_writing():
    sizes = [10**6, 10**7, 3 * 10**7, 4 * 10**7, 10**8]
    ops = [Op("elementwise", 0, 2 * size, size) for size in sizes]
    timed = [Timed(op, op.bytes / 2e10 + (op.written / 2e9 if op.written >= 2**25 else 0)) for op in ops]
    assert 1 / fit_fresh(timed) == pytest.approx(2e9, rel=1e-6)
    rate = fit_rate(timed, fit_fresh(timed))
    assert rate.error < 1e-6
    assert fit_fresh(timed[:3]) == 0


def test_all_classes_are_fitted_for_each_format():
    sizes = [10**5, 10**6, 10**7, 4 * 10**7, 10**8]
    found = [Timed(Op(kind, 10 * size, 2 * size, size), size / 1e9) for kind in KINDS for size in sizes]
    rates, fresh_s = calibration.fit({"float32": found, "bfloat16": found})
    assert set(rates) == {"float32", "bfloat16"} and fresh_s == pytest.approx(0, abs=1e-12)
    assert all(rate.error < 1e-6 for by_kind in rates.values() for rate in by_kind.values())
    with pytest.raises(ValueError, match="no rate for attention"):
        calibration.fit({"float32": [one for one in found if one.op.kind != "attention"]})


def test_operators_are_single_kernels_of_every_class_and_can_be_timed():
    from sdaug.costmodel.count import counting

    seen = {}
    for operator in operators("float32"):
        size = sum(tensor.nbytes for tensor in operator.warm)
        if size < 2_000_000 and operator.kind not in seen:
            seen[operator.kind] = operator
        if len(seen) == len(KINDS):
            break
    assert set(seen) == set(KINDS)
    for kind, operator in seen.items():
        timed = time_operator(operator, calls=2)
        with counting() as counter:
            operator.run()
        ((op, n),) = counter.work.ops
        assert (timed.op, n, op.kind) == (op, 1, kind) and 0 < timed.seconds < 5


def test_a_floor_is_of_the_instruction_set_whatever_the_clock_says(monkeypatch):
    for flags, per_cycle in (({"avx512f", "avx512_bf16"}, 64), ({"avx2"}, 32), (set(), 16)):
        monkeypatch.setattr(calibration, "_flags", lambda flags=flags: flags)
        found = peak_gflops(2)
        assert found["float32"] == per_cycle * 2 * calibration.HIGHEST_GHZ
        assert found["bfloat16"] == found["float32"] * (2 if "avx512_bf16" in flags else 1)


# -- clocks


def test_calls_take_turns_and_the_first_round_is_apart():
    order = []
    spent = run_in_turn({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert order == list("ab" * 4)
    assert len(spent["a"].values) == 3
    with pytest.raises(ValueError, match="0 rounds; 1 or more"):
        run_in_turn({}, 0)


def test_the_device_is_waited_for_before_and_after_each_call():
    log = []
    run_in_turn({"a": lambda: log.append("call")}, 1, settle=lambda: log.append("settle"))
    assert log == ["settle", "call", "settle"] * 2


def test_figures_of_a_time_and_its_noise():
    spent = Spent(9.0, (2.0, 3.0, 2.2, 2.5))
    assert spent.shortest == 2.0 and spent.noise == pytest.approx(abs(2.0 / 2.5 - 1))
    report = spent.report()
    assert (report["n"], report["first"], report["p50"], report["values"]) == (4, 9.0, 2.35, [2.0, 3.0, 2.2, 2.5])
    assert (report["p50_low"], report["p50_high"], report["p50_coverage"]) == (2.0, 3.0, 0.875)
    assert report["p90"] <= report["p99"]
    assert np.isnan(Spent(1.0, (1.0,)).noise)


def test_a_time_below_the_floor_is_an_error_and_no_record():
    check_floor("x", [1.0, 1.1], 1.0)
    with pytest.raises(ImpossibleTime, match="x: 0.9 s measured, and its arithmetic takes 1 s at the device's peak"):
        check_floor("x", [1.1, 0.9], 1.0)


def test_timing_costs_next_to_nothing():
    """Below 1 % of the shortest thing that is timed, a tenth of a second."""
    started = time.perf_counter()
    run_in_turn({"nothing": lambda: None}, 1000)
    assert (time.perf_counter() - started) / 1001 < 0.001


# -- the comparison


def row(name, predicted, measured, kind="part"):
    interval = Interval(predicted, 0.7 * predicted, 1.4 * predicted)
    return Row(name, kind, interval, 0.01, Spent(measured, (measured, measured * 1.1)))


def test_errors_ranks_and_coverage():
    rows = [row("a", 1.0, 1.0), row("b", 2.2, 2.0), row("c", 2.0, 4.0, "whole")]
    found = summary(rows)["summary"]
    assert found["all"]["n"] == 3 and found["all"]["median_error"] == pytest.approx(0.1)
    assert found["all"]["coverage"] == pytest.approx(2 / 3) and found["all"]["spread"] == pytest.approx(2.0)
    assert found["all"]["rank_correlation"] == 0.5 and found["whole"]["rank_correlation"] is None
    assert found["part"]["noise_median"] == pytest.approx(1 - 1 / 1.1, abs=0.01)
    assert found["all"]["bias"] == pytest.approx((1.0 * 1.1 * 0.5) ** (1 / 3) - 1)
    assert rank_correlation([1, 2, 3], [1, 2, 3]) == 1.0
    with pytest.raises(ValueError, match="nothing was measured"):
        summary([])
    fast = replace(row("d", 1.0, 1.0), floor_s=2.0)
    assert summary([*rows, fast])["summary"] == found and summary([fast])["impossible"][0]["why"].startswith("d: ")


def test_a_comparison_is_reported_row_by_row(processor, monkeypatch):
    slow = Case("slow", "part", lambda: time.sleep(0.01), Interval(0.01, 0.008, 0.02), 1e-4)
    monkeypatch.setattr(comparing, "part_cases", lambda *arguments: [("vae", lambda: [slow])])
    monkeypatch.setattr(comparing, "whole_cases", lambda *arguments: [])
    monkeypatch.setattr(comparing, "quiet_clock", lambda device, threads: time.perf_counter)
    monkeypatch.setattr(comparing, "check_threads", lambda machine: None)
    report = comparing.compare(processor, [], device="cpu", rounds=2)
    assert report["schema"] == "sdaug.bench.predict/3" and read_processor(report["calibration"]) == processor
    assert report["left_out"] == report["impossible"] == [] and report["power_mode"]["predicted_for"] is None
    assert json.loads(json.dumps(report))["rows"][0]["name"] == "slow"
    assert {"commit", "date", "machine", "summary", "bounds"} <= set(report)
    assert "slow" in table(report) and "median error" in table(report)


def test_an_impossible_time_is_told_with_its_numbers_and_the_others_are_kept(processor, sdaug, monkeypatch):
    slow = Case("slow", "part", lambda: time.sleep(0.01), Interval(0.01, 0.008, 0.02), 1e-4)
    fast = Case("fast", "whole", lambda: None, Interval(1.0, 0.5, 2.0), 1.0)
    monkeypatch.setattr(comparing, "part_cases", lambda *arguments: [("vae", lambda: [slow])])
    monkeypatch.setattr(comparing, "whole_cases", lambda *arguments: [fast])
    monkeypatch.setattr(comparing, "settler", lambda device: lambda: None)
    monkeypatch.setattr(comparing, "check_here", lambda machine, device: None)
    done = sdaug("bench", "predict", "--device", "orin-agx-64:30W", "--rounds", 1, "--save", "predicted.json")
    assert done.code == 1 and "1 of the times are shorter than the device's peak allows: fast" in done.err
    assert "impossible, and in no figure: fast: " in done.out and "slow" in done.out
    with open("predicted.json") as file:
        report = json.load(file)
    (wrong,) = report["impossible"]
    assert (wrong["name"], wrong["floor_s"]) == ("fast", 1.0) and wrong["measured_s"]["shortest"] < 1
    assert [one["name"] for one in report["rows"]] == ["slow"] and report["summary"]["all"]["n"] == 1
    assert report["power_mode"]["predicted_for"] == "30W" and "told_by_the_board" in report["power_mode"]
    monkeypatch.setattr(comparing, "part_cases", lambda *arguments: [])
    alone = sdaug("bench", "predict", "--device", "orin-agx-64", "--rounds", 1, "--json")
    assert alone.code == 1 and json.loads(alone.out)["summary"] == {}


def test_predictions_of_another_gpu_are_refused(processor, sdaug, monkeypatch):
    orin = load_device("orin-agx-64:30W")
    comparing.check_here(processor, "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="PyTorch sees no GPU here; Jetson AGX Orin 64 GB expected"):
        comparing.compare(orin, [], device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for here in (load_device("orin-agx-64"), None):  # its power mode is not told, and not every GPU is known
        monkeypatch.setattr(comparing, "device_here", lambda device, here=here: here)
        comparing.check_here(orin, "cuda")
    monkeypatch.setattr(comparing, "device_here", lambda device: load_device("orin-nx-16"))
    with pytest.raises(ValueError, match="the GPU here is orin-nx-16 .*; predictions of orin-agx-64 were asked for"):
        comparing.check_here(orin, "cuda")
    planned = sdaug("plan", "--device", "orin-agx-64", "--here")
    assert planned.code == 2 and "the GPU here is orin-nx-16" in planned.err


def test_a_setting_that_fails_is_left_out_with_its_reason_and_the_others_are_kept(processor, monkeypatch):
    def cases(*arguments):
        yield Case("good", "whole", lambda: time.sleep(0.01), Interval(0.01, 0.008, 0.02), 1e-4, sha256={"unet": "ab"})
        yield LeftOut("unloadable", "WeightsMissing: there are none")
        yield Case("large", "whole", exhausted, Interval(0.01, 0.008, 0.02), 1e-4)

    def exhausted():
        raise MemoryError("2 GB")

    monkeypatch.setattr(comparing, "whole_cases", cases)
    monkeypatch.setattr(comparing, "check_threads", lambda machine: None)
    monkeypatch.setattr(comparing, "quiet_clock", lambda device, threads: time.perf_counter)
    report = comparing.compare(processor, [], device="cpu", rounds=1, parts=False)
    assert [(row["name"], row["sha256"]) for row in report["rows"]] == [("good", {"unet": "ab"})]
    assert report["left_out"] == [
        {"name": "unloadable", "why": "WeightsMissing: there are none"},
        {"name": "large", "why": "out of memory: MemoryError: 2 GB"},
    ]
    assert "large: left out: out of memory: MemoryError: 2 GB" in table(report)
    monkeypatch.setattr(comparing, "whole_cases", lambda *arguments: [LeftOut("a", "b")])
    with pytest.raises(ValueError, match="nothing could be run: a: b"):
        comparing.compare(processor, [], device="cpu", rounds=1, parts=False)


def test_a_network_that_does_not_fit_is_left_out_and_the_others_are_kept(processor, monkeypatch):
    def too_large():
        raise MemoryError("3 GB")

    slow = Case("slow", "part", lambda: time.sleep(0.01), Interval(0.01, 0.008, 0.02), 1e-4)
    monkeypatch.setattr(comparing, "part_cases", lambda *arguments: [("unet", too_large), ("vae", lambda: [slow])])
    monkeypatch.setattr(comparing, "check_threads", lambda machine: None)
    monkeypatch.setattr(comparing, "quiet_clock", lambda device, threads: time.perf_counter)
    report = comparing.compare(processor, [], device="cpu", rounds=1)
    assert report["left_out"] == [{"name": "unet", "why": "out of memory: MemoryError: 3 GB"}]
    assert [row["name"] for row in report["rows"]] == ["slow"]


def test_whole_calls_that_cannot_be_loaded_are_left_out_one_by_one(processor):
    def asked(name, **model):
        return Asked(name, RunSettings.model_validate({"model": model | {"device": "cpu"}}))

    missing = asked("missing", model_id="/nowhere")
    small = asked("small", model_id="random")
    first, second = whole_cases(processor, [missing, small], "cpu")
    assert first.name == "missing" and first.why.startswith("WeightsMissing: ")
    assert second.why.startswith("ValueError: the small random model is not modelled")


def test_counted_memory_is_compared_with_the_allocators():
    def of(counted, allocated):
        return replace(row("x", 1.0, 1.0), counted_bytes=counted, peaks={"cuda_allocated_peak": allocated})

    assert of(103, 100).memory_error == pytest.approx(0.03)
    assert of(103, None).memory_error is of(None, 100).memory_error is row("x", 1.0, 1.0).memory_error is None
    found = summary([of(103, 100), of(95, 100)])
    assert found["summary"]["all"]["memory_error"] == pytest.approx(0.05)
    assert [one["memory_error"] for one in found["rows"]] == pytest.approx([0.03, -0.05])
    assert "memory within 5.0%" in table(found | {"title": "x", "left_out": [], "impossible": []})


def test_a_calibration_of_other_threads_is_refused(processor, sdaug, monkeypatch):
    check_threads(replace(processor, threads=torch.get_num_threads()))
    check_threads(load_device("orin-agx-64"))
    other = torch.get_num_threads() + 1
    with pytest.raises(ValueError, match=f"calibrated with {other} threads and {other - 1} run now"):
        comparing.compare(replace(processor, threads=other), [], device="cpu")
    monkeypatch.setattr(calibration, "device_class", lambda device: "a test")
    calibration.remember_calibration(replace(processor, threads=other))
    done = sdaug("bench", "predict")
    assert done.code == 1 and "a test was calibrated with" in done.err


def test_what_runs_is_what_is_counted(processor):
    """The tiny VAE, run and counted as it runs, is what is predicted; so is a whole call of the small random model."""
    from sdaug.bench.parts import part_cases
    from sdaug.costmodel.count import counting

    network, make = next(iter(part_cases(processor, "cpu", "float32", [64])))
    group = make()
    assert network == "tiny_vae"
    assert [case.name for case in group][:2] == ["tiny_encode 1 x 64 float32", "tiny_decode 1 x 64 float32"]
    with counting() as counter:
        group[1].run()
    assert counter.flops == count_part("tiny_decode", 1, 64).flops
    assert group[1].predicted.predicted == pytest.approx(
        seconds(counter.work, processor, "float32").predicted, rel=0.02
    )


def test_a_network_is_gone_before_the_next_is_made_and_before_whole_calls(processor, monkeypatch):
    seen, alive = [], []

    class Network:
        def __init__(self):
            self.itself = self  # as a network's modules, it goes with the garbage alone

    def made(*arguments):
        alive.append(sum(one() is not None for one in seen))
        network = Network()
        seen.append(weakref.ref(network))
        return network

    def case(network, part, batch, size, *arguments):
        expected = Interval(batch * size, batch * size, batch * size)
        return Case(f"{part} {batch} {size}", "part", lambda: network.itself and time.sleep(1e-3), expected, 1e-6)

    def wholes(*arguments):
        alive.append(sum(one() is not None for one in seen))
        return []

    monkeypatch.setattr(part_by_part, "_made", made)
    monkeypatch.setattr(part_by_part, "_case", case)
    monkeypatch.setattr(comparing, "whole_cases", wholes)
    monkeypatch.setattr(comparing, "check_threads", lambda machine: None)
    monkeypatch.setattr(comparing, "quiet_clock", lambda device, threads: time.perf_counter)
    comparing.compare(processor, [], device="cpu", rounds=1)
    assert len(seen) == 5 and alive == [0] * 6


def test_local_settings_are_short_and_differ(processor):
    calls = [calls_of(one.settings, processor, one.settings.generation.num_angles) for one in local_settings()]
    assert len(calls) == 6 and len({(one.five, one.batch) for one in calls}) == 6
    assert all(one.not_modelled == () and one.five.unet + one.five.unet_guided <= 3 for one in calls)


def test_the_command_prints_the_table_and_saves_every_value(processor, sdaug, monkeypatch):
    slow = Case("slow", "part", lambda: time.sleep(0.01), Interval(0.01, 0.008, 0.02), 1e-4)
    monkeypatch.setattr(comparing, "part_cases", lambda *arguments: [("vae", lambda: [slow])])
    monkeypatch.setattr(comparing, "whole_cases", lambda *arguments: [])
    monkeypatch.setattr(comparing, "settler", lambda device: lambda: None)
    monkeypatch.setattr(comparing, "check_here", lambda machine, device: None)
    done = sdaug("bench", "predict", "--device", "orin-agx-64", "--rounds", 1, "--save", "predicted.json")
    with open("predicted.json") as file:
        assert json.load(file)["rows"][0]["name"] == "slow"
    assert done.code == 0 and "predicted before, measured now" in done.out and "of 90% stated" in done.out


def test_the_command_wants_a_calibration_and_something_to_run(sdaug, processor, monkeypatch):
    monkeypatch.setenv("SDAUG_CACHE", "empty-cache")
    missing = sdaug("bench", "predict", "--device", "cpu")
    assert missing.code == 2 and "was not calibrated" in missing.err
    nothing = sdaug("bench", "predict", "--device", "orin-agx-64", "--no-parts", "--no-wholes")
    assert nothing.code == 2 and "leave nothing to run" in nothing.err


def test_a_processor_without_16_bit_arithmetic_is_planned_in_float32(processor):
    modern = replace(processor, rates=dict(processor.rates) | {"bfloat16": processor.rates["float32"]})
    assert (half_format(modern), half_format(processor)) == ("bfloat16", "float32")
    planned = plan(processor, standard_settings("float32"), 8.0)
    report = make_report(processor, planned, 8.0, None, "float32").json()
    assert report["recommended"] is not None
    assert {one["dtype"] for one in report["settings"] if one["skipped"] is None} == {"float32"}
    assert [one["name"] for one in report["settings"]][:3] == ["fp32", "fp32_slicing", "optimised"]
    assert [one.asked.name for one in plan(modern, standard_settings("bfloat16")[1:3], 8.0)] == ["bf16", "bf16_slicing"]
    assert "16-bit" not in json.dumps(report) and "float32) cannot be had" in report["statements"][0]
    ratio = report["peers"][1]["ratio"]
    assert ratio["low"] < ratio["predicted"] < ratio["high"], "a processor's interval is of both, as if independent"


def test_only_formats_that_the_processor_computes_in_are_timed(monkeypatch):
    asked = []
    monkeypatch.setattr(calibration, "has_arithmetic", lambda dtype: dtype == "float32")
    monkeypatch.setattr(calibration, "operators", lambda dtype: asked.append(dtype) or [])
    with pytest.raises((ValueError, IndexError)):
        calibration.calibrate()
    assert set(asked) == {"float32"}
