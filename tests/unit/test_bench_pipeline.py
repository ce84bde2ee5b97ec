"""The pipeline benchmark: what it counts, what it times, and how it adds up what was not run."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sdaug.bench import pipeline as bench
from sdaug.bench.counted import STOCK, counted_peaks, counted_ratios, recipe_evaluations
from sdaug.bench.forwards import Forward, Forwards, forwards
from sdaug.bench.peers import PEERS, as_variant, peer_seconds
from sdaug.bench.pipeline_report import Batches, five_angles
from sdaug.bench.stock import stock_pipeline
from sdaug.config import ModelSettings
from sdaug.diffusion.random_model import random_components
from sdaug.levers import LeverSkipped, torch_compile

CPU = torch.device("cpu")


def test_counted_work_beside_stocks():
    ratios = counted_ratios()
    assert ratios["same_settings"] == pytest.approx(0.987, abs=0.001), "the hint is embedded once an image"
    assert 0.10 < ratios["quick"] <= 0.12 and 0.18 < ratios["balanced"] <= 0.22
    quick, balanced = recipe_evaluations("quick"), recipe_evaluations("balanced")
    assert (quick.unet, quick.controlnet, quick.unet_guided) == (5, 4, 0)
    assert (balanced.unet, balanced.controlnet, balanced.unet_guided) == (10, 6, 0)


def test_counted_peaks_are_within_the_missions_three_gigabytes():
    peaks = counted_peaks()
    for name, most, batch in (
        ("standard_vae", 3.0, 5),
        ("tiny_vae", 2.9, 5),
        ("fp8", 1.75, 5),
        ("tiny_vae_one_at_a_time", 2.6, 1),
    ):
        peak = peaks[name]
        assert 1.5 < peak["value"] <= most and peak["low"] <= peak["value"] <= peak["high"], name
        assert (peak["batch"], peak["dtype"]) == (batch, "float16")


class Network:
    def __call__(self, x, wait):
        time.sleep(wait)
        return x + 1


def test_forwards_are_timed_by_stage_and_everything_is_put_back():
    owner = SimpleNamespace(network=Network())
    network = owner.network
    with forwards({"unet": (owner, "network")}, CPU, keep="unet") as seen:
        assert owner.network(torch.zeros(3), 0.02).sum() == 3
        owner.network(torch.zeros(1), 0.04)
        time.sleep(0.03)
    assert owner.network is network and [len(answer) for answer in seen.kept] == [3, 1]
    first, second = seen.passes
    assert (first.stage, first.images, second.images) == ("unet", 3, 1)
    assert 0.02 <= first.seconds < 0.04 <= second.seconds and seen.of("unet") == [first.seconds, second.seconds]
    assert 0.03 <= seen.stages["outside"] == pytest.approx(seen.seconds - first.seconds - second.seconds)


def test_a_module_is_itself_again_after_its_forward_was_timed():
    layer = torch.nn.Linear(2, 2)
    with forwards({"linear": (layer, "forward")}, CPU) as seen, pytest.raises(RuntimeError):
        layer(torch.zeros(1, 2))
        layer(torch.zeros(1, 3))
    assert "forward" not in vars(layer) and len(seen.passes) == 1


def call(unet: float, controlnet: float, steps: int, runs: int, others: float, outside: float) -> Forwards:
    passes = [Forward("unet", unet, 1)] * steps + [Forward("controlnet", controlnet, 1)] * runs
    passes.append(Forward("decode", others, 1))
    return Forwards(passes, steps * unet + runs * controlnet + others + outside)


def test_the_steps_that_were_not_run_are_added_at_the_mean_cost_of_those_that_were():
    measured = {
        "stock": call(2.0, 1.0, 2, 2, 5.0, 0.1),
        "same_settings": call(1.0, 0.5, 2, 2, 4.0, 0.0),
        "quick": call(1.0, 0.5, 5, 4, 0.4, 0.1),
    }
    seconds = five_angles(measured, 2, Batches(same_settings=1, quick=1))
    assert seconds["stock"] == pytest.approx(5 * (20 * 3.0 + 5.1))
    assert seconds["same_settings"] == pytest.approx(5 * (20 * 1.5 + 4.0))
    assert seconds["quick"] == pytest.approx(5 * 7.5)
    assert seconds["balanced"] == pytest.approx(5 * (10 * 1.0 + 6 * 0.5 + 0.5))
    by_two = five_angles(measured, 2, Batches(same_settings=1, quick=2))
    assert by_two["quick"] == seconds["quick"] / 2 and by_two["stock"] == seconds["stock"]


def test_a_peers_steps_are_added_at_its_own_cost():
    measured = {
        "stock": call(2.0, 1.0, 2, 2, 5.0, 0.0),
        "attention_slicing": call(4.0, 2.0, 1, 1, 5.0, 0.0),
        "lcm": call(1.0, 0.5, 2, 2, 5.0, 0.0),
    }
    assert peer_seconds(measured, steps=2, angles=5) == pytest.approx(
        {
            "steps_50": 5 * (50 * 3.0 + 5),
            "steps_20": 5 * (20 * 3.0 + 5),
            "attention_slicing_50": 5 * (50 * 6.0 + 5),
            "attention_slicing_20": 5 * (20 * 6.0 + 5),
            "lcm_lora_4": 5 * (4 * 1.5 + 5),
        }
    )


def test_a_peers_pipeline_is_what_it_says_and_stocks_again_afterwards():
    pipe = stock_pipeline(random_components(), CPU)

    def kinds():
        processors = {type(p).__name__ for n in (pipe.unet, pipe.controlnet) for p in n.attn_processors.values()}
        return type(pipe.scheduler).__name__, processors

    before = kinds()
    with as_variant(pipe, "attention_slicing"):
        assert kinds() == (before[0], {"SlicedAttnProcessor"})
    with as_variant(pipe, "lcm"):
        assert kinds() == ("LCMScheduler", before[1])
    assert kinds() == before


def test_stocks_networks_hold_the_same_weights_in_other_objects():
    parts = random_components()
    hint = parts.controlnet.controlnet_cond_embedding.conv_in.weight
    pipe = stock_pipeline(parts, CPU)
    parts.controlnet.controlnet_cond_embedding = torch.nn.Identity()
    assert pipe.controlnet.controlnet_cond_embedding.conv_in.weight.data_ptr() == hint.data_ptr()
    assert pipe.unet.conv_in.weight.data_ptr() == parts.unet.conv_in.weight.data_ptr()
    before = pipe.unet.conv_in.weight.stride()
    parts.unet.to(memory_format=torch.channels_last)
    parts.vae.to(torch.float16)
    assert pipe.unet.conv_in.weight.stride() == before != parts.unet.conv_in.weight.stride()
    assert pipe.vae.encoder.conv_in.weight.dtype == torch.float32


def test_the_report_has_every_figure_with_its_interval_and_baseline(monkeypatch):
    """Small random weights and few pixels: every code path, no figure that means anything."""
    monkeypatch.setattr(bench, "build", lambda *_, **__: random_components().vae)
    seen = []
    model = ModelSettings(model_id="random", device="cpu")
    made = bench.bench_pipeline(model, {}, rounds=2, steps=1, size=64, progress=lambda *now: seen.append(now))
    report = json.loads(json.dumps(made.report()))
    for name in ("ratio_same_settings", "ratio_recommended_5", "ratio_recommended_10", "overhead_fraction"):
        assert 0 < report[name]["low"] <= report[name]["value"] <= report[name]["high"], name
    assert report["peak_gb"].keys() >= {"standard_vae", "tiny_vae", "fp8"}
    assert report["baseline"]["settings"]["num_inference_steps"] == STOCK.num_inference_steps == 20
    assert report["baseline"]["five_angles_s"]["value"] > 0 and "1 of the baseline's 20 steps" in report["method"]
    assert "a chance of 50.0%" in report["method"] and "95 %" not in report["method"]
    counts = {name: {s: v["n"] for s, v in stages.items()} for name, stages in report["stages_s"].items()}
    assert counts["stock"] == {"encode": 2, "controlnet": 2, "unet": 2, "decode": 2}
    assert counts["quick"] == {"encode": 4, "hint": 2, "controlnet": 8, "unet": 10, "decode": 2}
    assert counts["attention_slicing"]["unet"] == 2 and counts["lcm"]["unet"] == 4, "one step, two steps; two rounds"
    assert report["peers"].keys() == PEERS.keys()
    for name, peer in report["peers"].items():
        assert 0 < peer["ratio"]["quick"]["low"] <= peer["ratio"]["quick"]["value"], name
        ours = report["five_angles_s"]["quick"]
        assert peer["ratio"]["quick"]["value"] <= ours["most"] / peer["five_angles_s"]["least"], name
    assert report["schema"] == "sdaug.bench.pipeline/4"
    for name in ("ratio_same_settings", "ratio_recommended_5"):
        assert len(report[name]["pairs"]) == report[name]["n"] == 2
        assert report[name]["value"] == pytest.approx(np.median(report[name]["pairs"]))
    for ours in (report["baseline"]["five_angles_s"], report["five_angles_s"]["quick"], report["overhead_fraction"]):
        assert len(ours["values"]) == 2 and min(ours["values"]) == ours["least"] == ours["low"]
        assert ours["coverage"] == report["ratio_same_settings"]["coverage"] == 0.5, "of two rounds"
    assert all(len(s["values"]) == s["n"] for stages in report["stages_s"].values() for s in stages.values())
    before = report["before_s"]
    assert before["import"] >= 0 and before["load"] > 0 and set(before["first_call"]) == set(report["stages_s"])
    assert all(peak["resident_peak_sampled"] > 1e8 for peak in report["measured_peak_bytes"].values())
    assert {"before", "most", "energy_j"} <= set(report["board"])
    assert report["model_id"] == "random" and {len(one) for one in report["sha256"].values()} == {64}
    assert set(report["floor_s"].values()) == {None}, "the small model's networks are not counted"
    assert report["batch"] == {"stock": 1, "same_settings": 1, "quick": 2}
    assert report["largest_difference_of_255"] <= 1, "at the same settings ours is stock's picture"
    before_rounding = report["largest_difference_before_rounding"]
    assert 0 <= before_rounding["value"] <= 1e-4 and before_rounding["pixels"] == "-1 to 1"
    assert report["commit"] is None or len(report["commit"]["sha"]) == 40 and report["commit"]["clean"] in (True, False)
    assert report["date"].startswith("20") and report["machine"]["packages"]["torch"]
    assert report["wall_s"] > sum(call.seconds for one in made.rounds for call in one.values())
    assert [now[1] for now in seen] == [0, 1, 2, 3]


def test_a_call_below_its_floor_is_an_error(monkeypatch, sdaug):
    monkeypatch.setattr(bench, "build", lambda *_, **__: random_components().vae)
    seen = []
    monkeypatch.setattr(bench, "call_floor_s", lambda passes, *_, **more: seen.append((passes, more["vae"])) or 1e6)
    small = ["--model-id", "random", "--device", "cpu", "--rounds", 1, "--steps", 1, "--size", 64, "--lever", "none"]
    done = sdaug("bench", "pipeline", *small)
    assert done.code == 1 and "stock: " in done.err and "its arithmetic takes 1e+06 s" in done.err
    assert seen[0] == ({"unet": 2, "controlnet": 2, "decode": 1}, "standard"), "guided: each sees the image twice"
    assert seen[2] == ({"unet": 10, "controlnet": 8, "decode": 2}, "tiny")


def no_compiler(device):
    raise LeverSkipped(f"no compiler works here for {device}: there is none")


def test_a_lever_that_is_on_by_default_is_left_out_where_it_does_not_apply(monkeypatch, sdaug):
    monkeypatch.setattr(bench, "build", lambda *_, **__: random_components().vae)
    monkeypatch.setattr(torch_compile, "check_compiler", no_compiler)
    small = ["bench", "pipeline", "--model-id", "random", "--device", "cpu", "--rounds", 1, "--steps", 1, "--size", 64]
    done = sdaug(*small, "--json")
    report = json.loads(done.out)
    assert done.code == 0 and report["levers"] == {} and report["ratio_same_settings"]["n"] == 1
    assert report["levers_skipped"] == {"torch_compile": "no compiler works here for cpu: there is none"}
    assert "without torch_compile: no compiler works here" in sdaug(*small).out
    asked = sdaug(*small, "--lever", "torch_compile")
    assert asked.code == 1 and "no compiler works here for cpu" in asked.err
