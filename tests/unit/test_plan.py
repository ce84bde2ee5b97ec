"""`sdaug plan`: what it names for a Jetson, what it refuses, and that it says nothing that was not counted."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from sdaug.bench.peers import PEERS
from sdaug.config import RunSettings
from sdaug.costmodel.device import load_device
from sdaug.costmodel.figures import Interval
from sdaug.costmodel.processor import Processor
from sdaug.levers import LeverSkipped
from sdaug.planning.machine import default_budget_gb, half_format, machine_named
from sdaug.planning.peers import predicted_peers
from sdaug.planning.plan import Planned, plan
from sdaug.planning.recommend import recommend
from sdaug.planning.report import counted_parts, make_report, text
from sdaug.planning.settings import Asked, as_run, calls_of
from sdaug.planning.standard import standard_settings
from sdaug.planning.targets import LIMITS, RESIDENT_GB, Target, process_total, targets

HALF = {"precision": {"dtype": "float16"}}


def settings(levers=None, model=None, **generation) -> RunSettings:
    content = {"levers": HALF if levers is None else levers, "generation": generation, "model": model or {}}
    return RunSettings.model_validate(content)


@pytest.fixture(scope="module")
def orin():
    return load_device("orin-agx-64")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Counts of this module, kept between its tests."""
    import os

    before = os.environ.get("SDAUG_CACHE")
    os.environ["SDAUG_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["SDAUG_CACHE"]
    else:
        os.environ["SDAUG_CACHE"] = before


@pytest.fixture(scope="module")
def planned(orin, cache):
    return plan(orin, standard_settings(), 8.0)


def by_name(planned: list[Planned], name: str) -> Planned:
    return next(one for one in planned if one.asked.name == name)


# -- what the issue asks of orin-agx-64


def test_a_setting_without_a_kernel_of_its_own_keeps_what_is_aimed_at(orin, planned):
    """Predicted 0.6 s an image, 1.9 s for five and 2.9 GB in float16; one at a time 2.6 GB."""
    best = by_name(planned, recommend(planned, 8.0).name)
    assert best.calls.runtime == "eager" and best.calls.one.dtype == "float16" and not best.calls.int8
    assert best.one.seconds.predicted <= 0.6 and best.five.seconds.predicted <= 1.9
    assert best.allocated_gb <= 2.9 and best.one_gb <= 2.6
    alone = by_name(planned, "few_steps_one_at_a_time")
    assert alone.allocated_gb == pytest.approx(best.one_gb) and alone.five.seconds.predicted <= 1.9
    assert (best.calls.ran.unet, best.calls.ran.controlnet, best.calls.ran.unet_guided) == (4, 4, 0)


def test_full_quality_is_said_to_be_out_of_reach(orin, planned):
    report = make_report(orin, planned, 8.0, None, "float16")
    found = report.json()
    assert 1.35 <= found["floor_s"] <= 1.38 and found["floor"]["at_peak_s"] == pytest.approx(1.09, abs=0.01)
    assert "20 steps with guidance and ControlNet" in report.statements[0]
    assert "cannot be had under 1.37 s" in report.statements[0] and report.statements[0] in text(report)
    # The mission's own FP16 setting runs 18 of its 20 steps: a hole's strength is 0.9.
    fp16 = by_name(planned, "fp16")
    assert fp16.calls.ran.unet == fp16.calls.ran.unet_guided == 18
    assert fp16.one.seconds.low > fp16.one.roof_s > 1.2
    assert fp16.five.seconds.predicted > LIMITS["five_angles_s"] and fp16.one.seconds.low > LIMITS["image_s"]


def test_attention_slicing_is_shown_to_cost_and_not_to_save(planned):
    plain, sliced = by_name(planned, "fp16"), by_name(planned, "fp16_slicing")
    assert 1.6 < sliced.one.seconds.predicted / plain.one.seconds.predicted < 3
    assert sliced.allocated_gb >= plain.allocated_gb


def test_the_front_is_what_no_other_beats(planned):
    on = [one for one in planned if one.on_front]
    assert {one.asked.name for one in on} == {
        "few_steps_compiled", "few_steps_one_at_a_time", "few_steps_8_bit_storage",
    }  # fmt: skip
    for one in planned:
        beaten = [
            other
            for other in planned
            if other.five.seconds.predicted < one.five.seconds.predicted and other.allocated_gb < one.allocated_gb
        ]
        assert not (beaten and one.on_front)


def test_known_counts():
    found = counted_parts()
    wanted = {"unet": (803.3, 859.52), "controlnet": (283.3, 361.28), "vae_decode": (2514.5, 83.65),
              "vae_encode": (1116.7, 83.65), "tiny_vae_decode": (141.4, 2.45),
              "text_encoder": (13.3, 123.06)}  # fmt: skip
    assert set(found) == set(wanted)
    for name, (gflop, params_m) in wanted.items():
        assert found[name]["gflop"] == pytest.approx(gflop, rel=0.005), name
        assert found[name]["params_m"] == pytest.approx(params_m, rel=0.005), name
    assert found["vae_decode"]["own_params_m"] == pytest.approx(49.49, rel=0.001)


def test_every_setting_has_its_counts_stage_by_stage(planned):
    fp16 = by_name(planned, "fp16").report()
    stages = fp16["counted"]
    assert list(stages) == ["encode", "hint", "unet", "controlnet", "decode"]
    unet, decode = stages["unet"], stages["decode"]
    assert (unet["passes"], stages["controlnet"]["passes"]) == (18, 18)
    assert unet["gflop"] == pytest.approx(18 * 2 * 803.3, rel=0.005) and decode["gflop"] == pytest.approx(
        2514.5, rel=0.005
    )
    assert sum(stage["gflop"] for stage in stages.values()) == pytest.approx(1e3 * fp16["tflop"])
    for stage in stages.values():
        assert sum(stage["gflop_by_class"].values()) == pytest.approx(stage["gflop"])
        assert sum(stage["bytes_by_class"].values()) == stage["bytes_eager"] > stage["bytes_fused"] > 0
        assert stage["launches"] >= stage["passes"] and stage["live_mib"] > 0
    assert unet["live_mib"] == pytest.approx(140, rel=0.01), (
        "130 of the UNet alone, ControlNet's features added to its own"
    )
    few = by_name(planned, "few_steps").report()["counted"]
    assert few["unet"]["gflop"] == pytest.approx(4 * 803.3, rel=0.005) and few["decode"]["gflop"] < 150


# -- what is recommended


def test_with_a_target_the_setting_that_gives_up_least_is_taken(planned):
    chosen = recommend(planned, 8.0, target_s=2.0)
    assert chosen.name == "balanced" and "gives up least of" in chosen.why
    assert recommend(planned, 8.0, target_s=0.5).name == "optimised"
    impossible = recommend(planned, 8.0, target_s=0.001)
    assert impossible.name == "few_steps_compiled" and impossible.why.startswith("none keeps 0.001 s an image")


def test_a_budget_leaves_out_what_does_not_fit(orin, cache):
    found = plan(orin, standard_settings(), 2.0)
    assert [one.asked.name for one in found if one.fits] == ["few_steps_8_bit_storage"]
    assert recommend(found, 2.0).name == "few_steps_8_bit_storage"
    nothing = [replace(one, fits=False) for one in found]
    assert recommend(nothing, 0.5).name is None and "0.5 GB" in recommend(nothing, 0.5).why


def test_what_is_not_modelled_whole_is_not_recommended(planned):
    odd = by_name(planned, "few_steps_standard_vae")
    assert odd.calls.not_modelled == ("free_vae_encoder",)
    assert recommend([odd], 8.0).name is None


# -- settings


def test_a_lever_that_cannot_apply_there_is_a_row_with_its_reason(orin, cache):
    asked = [Asked(name, settings(HALF | {name: {}})) for name in ("model_cpu_offload", "sequential_cpu_offload")]
    asked.append(Asked("warp", RunSettings(backend="warp")))
    rows = [one.report() for one in plan(orin, asked, 8.0)]
    assert ["would free nothing" in row["skipped"] for row in rows] == [True, True, False]
    assert "runs no diffusion" in rows[2]["skipped"]
    assert {(row["latency_s"], row["fits"]) for row in rows} == {(None, False)}


def test_what_levers_do_to_a_call(orin):
    calls = calls_of(
        settings(HALF | {"few_steps": {"num_inference_steps": 10}, "angle_batch": {"batch_size": 2}}), orin
    )
    assert (calls.ran.unet, calls.batch, calls.five.batch, calls.five.images) == (9, 2, 2, 5)
    gated = calls_of(settings(HALF | {"controlnet_gating": {"control_guidance_end": 0.5}}), orin)
    assert gated.ran.controlnet < gated.ran.unet == 18
    sliced = calls_of(settings(HALF | {"attention_slicing": {"slice_size": "max"}, "resolution": {"size": 384}}), orin)
    assert (sliced.one.variant.attention_slice, sliced.one.size) == ("max", 384)
    fp8 = calls_of(settings(HALF | {"fp8_storage": {}, "vae_tiling": {}}), orin)
    assert (fp8.one.variant.storage, fp8.one.variant.vae_tile) == ("fp8", 256)
    plain = calls_of(settings({}), orin)
    assert (plain.one.dtype, plain.runtime, plain.not_modelled) == ("float32", "eager", ())


def test_runtimes_follow_from_levers(orin):
    def runtime(**levers):
        calls = calls_of(settings(HALF | levers), orin)
        return calls.runtime, calls.int8

    assert runtime(torch_compile={"regional": False}) == ("compiled", False)
    assert runtime(cuda_graphs={}) == ("graphs", False)
    assert runtime(onnx_engine={"folder": "x", "provider": "tensorrt"}) == ("engine", False)
    assert runtime(onnx_engine={"folder": "x", "provider": "tensorrt", "int8": True}) == ("engine", True)
    assert calls_of(settings(HALF | {"onnx_engine": {"folder": "x"}}), orin).not_modelled == ("onnx_engine on cpu",)
    with pytest.raises(LeverSkipped, match="oneDNN"):
        runtime(torch_compile={"freezing": True})
    with pytest.raises(LeverSkipped, match="exclude each other"):
        runtime(cuda_graphs={}, torch_compile={})
    adapted = settings(HALF, {"face_id": {"recogniser": "dlib_resnet"}})
    assert calls_of(adapted, orin).not_modelled == ("face_id",)


def test_a_model_is_counted_as_its_own_folder_says(orin):
    nano = calls_of(settings(HALF, {"model_id": "sdaug-nano"}), orin)
    assert nano.one.variant.networks and not calls_of(settings(), orin).one.variant.networks
    from sdaug.costmodel.parts import count_part

    small = count_part("unet", variant=nano.one.variant)
    import torch
    from safetensors import safe_open

    from sdaug.config import ModelSettings
    from sdaug.diffusion.weights import locate

    with safe_open(locate(ModelSettings(model_id="sdaug-nano"))["unet"], framework="pt") as file:
        held = sum(torch.tensor(file.get_slice(key).get_shape()).prod().item() for key in file.keys())
    assert small.parameters == held and small.flops < count_part("unet").flops / 20
    for part in ("unet_residuals", "controlnet", "hint", "vae_encode", "vae_decode", "tiny_decode", "text_encoder"):
        assert count_part(part, variant=nano.one.variant).flops > 0


# -- targets


def test_targets_are_judged_by_their_interval():
    between = Target(2.0, Interval(1.5, 1.0, 3.0), "meter")
    assert between.holds and not between.certain
    assert Target(2.0, Interval(1.5, 1.0, 1.9), "meter").certain
    failed = Target(2.0, Interval(3.0, 2.5, 4.0), "meter")
    assert not failed.holds and failed.certain
    assert failed.report()["meter"] == "meter"


def test_the_missions_targets_for_the_recommended_and_for_full_quality(orin, planned):
    few = targets(by_name(planned, "few_steps"), orin)
    assert set(few) == {"load_s", "image_s", "five_angles_s", "gpu_gb", "gpu_optimised_gb", "host_gb"}
    assert all(
        few[name].holds and few[name].certain for name in ("image_s", "five_angles_s", "gpu_gb", "gpu_optimised_gb")
    )
    assert 15 < few["load_s"].needs.predicted < 16 and not few["load_s"].certain, "nobody has measured it"
    smaller = targets(by_name(planned, "few_steps_8_bit_storage"), orin)
    assert smaller["load_s"] == few["load_s"] and smaller["host_gb"] == few["host_gb"], (
        "8 bits only once they are there"
    )
    full = targets(by_name(planned, "fp32"), orin)
    assert [full[name].holds for name in ("image_s", "five_angles_s", "gpu_gb", "gpu_optimised_gb", "host_gb")] == [
        False, False, True, False, False,
    ]  # fmt: skip
    skipped = Planned(Asked("x", settings()), skipped="why")
    with pytest.raises(ValueError, match="x has no prediction: why"):
        targets(skipped, orin)


def test_a_process_on_a_board_holds_cudas_context_too(orin, planned):
    few = by_name(planned, "few_steps")
    together = process_total(few, orin)
    assert orin.context_gb is not None and orin.context_gb.low >= 0.5
    for found, bound in ((together.low, "low"), (together.predicted, "value"), (together.high, "high")):
        beside = RESIDENT_GB.at(bound) + orin.context_gb.at(bound)
        assert found == pytest.approx(few.allocated_gb + beside)
    assert load_device("orin-nx-16").context_gb == orin.context_gb
    card = load_device("rtx-4090")
    assert card.context_gb is None
    assert process_total(few, card).predicted == pytest.approx(few.allocated_gb + card.reserved_gb.value)
    assert "1.5 GB (RTX 3060" in make_report(orin, planned, 8.0, None, "float16").json()["sources"]["context_gb"]


# -- machines and the command


def test_budgets_and_formats_follow_from_the_machine(orin):
    assert default_budget_gb(orin) == 8.0 and default_budget_gb(load_device("orin-nano-8")) == 5.0
    assert half_format(orin) == "float16"
    with pytest.raises(ValueError, match="not calibrated; `sdaug plan --device cpu --calibrate`"):
        machine_named("cpu")


INTERVAL = {"predicted": float, "low": float, "high": float}


def test_the_command_prints_what_other_tools_read(sdaug, cache):
    result = sdaug("plan", "--device", "orin-agx-64", "--json", "--budget-gb", 3)
    assert result.code == 0
    found = json.loads(result.out)
    assert found["device"] == "orin-agx-64" and found["power_mode"] == "MAXN"
    for name in ("unet", "controlnet", "vae_decode"):
        assert {"gflop", "params_m"} <= set(found["counted"][name])
    for one in found["settings"]:
        assert {"name", "latency_s", "five_angles_s", "allocated_gb", "fits"} <= set(one)
        for key in ("latency_s", "five_angles_s"):
            assert one[key]["low"] < one[key]["predicted"] < one[key]["high"] <= 2.5 * one[key]["low"]
        assert (
            one["latency_s"]["low"] >= one["peak_floor_s"]
            and "floor_s" not in one
            and one["fits"] == (one["allocated_gb"] <= 3)
        )
        assert one["kind"] == "prediction"
    assert found["recommended"] == "few_steps" and set(found["targets"]) == set(LIMITS)
    assert "measured" in found["kind"] and len(found["sources"]) > 15


def test_what_names_no_precision_is_planned_in_the_one_that_would_run(orin):
    processor = Processor("one", 1, 8.0, {}, {}, {}, 0.0, 0.5, 2.0, "")
    for device, machine, dtype in (("cuda", orin, "float16"), ("cuda", processor, "float32"), ("cpu", orin, "float32")):
        asked = RunSettings.model_validate({"model": {"device": device}, "levers": {"vae_slicing": {}}})
        found = as_run(asked, machine).levers
        assert found == {"vae_slicing": {}, "precision": {"dtype": dtype}}
    named = RunSettings.model_validate({"levers": {"precision": {"dtype": "bfloat16"}}})
    assert as_run(named, orin) == named
    assert as_run(RunSettings(backend="warp"), orin) == RunSettings(backend="warp")


def test_the_command_reads_experiment_files_without_their_weights_or_photos(sdaug, cache):
    content = {
        "experiment": "x",
        "photo": "nowhere.jpg",
        "base": {"levers": {**HALF, "tiny_vae": {}}, "generation": {"num_inference_steps": 4}},
        "grid": {"generation.size": [256, 512]},
        "seeds": [1, 2],
    }
    with open("x.yaml", "w") as file:
        yaml.safe_dump(content, file)
    result = sdaug("plan", "x.yaml", "--device", "orin-nano-8", "--json")
    found = json.loads(result.out)
    assert result.code == 0 and [one["name"] for one in found["settings"]] == ["size 256", "size 512"]
    assert found["settings"][0]["latency_s"]["predicted"] < 0.5 * found["settings"][1]["latency_s"]["predicted"]
    shown = sdaug("plan", "x.yaml", "--device", "orin-nano-8")
    assert "recommended: size 256" in shown.out and "predictions, not measurements" in shown.out


def test_wrong_use_and_what_does_not_fit(sdaug, cache):
    wrong = sdaug("plan", "--device", "orin")
    assert wrong.code == 2 and "unknown device 'orin'" in wrong.err and "orin-nano-8" in wrong.err
    assert sdaug("plan").code == 2
    assert sdaug("plan", "--device", "orin-agx-64:1W").code == 2
    misplaced = sdaug("plan", "--device", "orin-agx-64", "--calibrate")
    assert misplaced.code == 2 and "goes with --device cpu" in misplaced.err
    with open("y.yaml", "w") as file:
        yaml.safe_dump({"experiment": "y", "photo": "a.jpg", "base": {"levers": {"precison": {}}}}, file)
    broken = sdaug("plan", "y.yaml", "--device", "orin-agx-64")
    assert broken.code == 2 and "unknown lever 'precison'" in broken.err
    small = sdaug("plan", "--device", "orin-agx-64", "--budget-gb", 0.5, "--json")
    assert small.code == 1 and json.loads(small.out)["recommended"] is None


def test_planning_needs_no_torch_until_something_is_counted():
    code = (
        "import sys; from sdaug.planning import machine, recommend, settings\n"
        "from sdaug.costmodel import predict, published, calibration\n"
        "machine.machine_named('orin-agx-64'); published.read_published()\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_counting_a_file_is_timed_in_a_process_of_its_own_without_a_cache(sdaug, monkeypatch):
    with open("nano.yaml", "w") as file:
        base = {"model": {"model_id": "sdaug-nano"}, "levers": {"tiny_vae": {}}}
        yaml.safe_dump(
            {"experiment": "x", "photo": "a.jpg", "base": base, "grid": {"backend": ["diffusion", "warp"]}}, file
        )
    found = json.loads(sdaug("bench", "counting", "nano.yaml", "--json").out)
    assert (found["settings"], found["counted"], found["limit_s"]) == (2, 1, 20.0)
    assert found["seconds"] > 1 and found["in_time"] == (found["seconds"] <= 20) and found["commit"] is not None
    wrong = sdaug("bench", "counting", "nano.yaml", "--device", "orin")
    assert wrong.code == 1 and "unknown device 'orin'" in wrong.err


def test_peers_are_what_diffusers_does_without_us(orin, planned):
    report = make_report(orin, planned, 8.0, None, "float16")
    peers = {peer.name: peer for peer in report.peers}
    fifty, twenty = peers["diffusers, 50 steps"], peers["diffusers, 20 steps"]
    assert fifty.five.predicted / twenty.five.predicted == pytest.approx(2.5, rel=0.06)
    assert peers["diffusers, 20 steps, enable_attention_slicing"].five.predicted > 1.6 * twenty.five.predicted
    ratio, few = (peers[f"diffusers, {name} steps"].ratio(report.recommended) for name in ("20", "LCM LoRA, 4"))
    assert 0.05 < ratio.low < ratio.predicted < ratio.high < 0.15
    assert 0.4 < few.low <= few.predicted <= few.high < 0.8
    apart = report.recommended.five.seconds, twenty.five
    assert ratio.high / ratio.low < 1.5 < apart[0].high / apart[0].low, "what is wrong with both alike cancels"
    assert report.json()["peers"][1]["ratio"] == {
        "predicted": ratio.predicted, "low": ratio.low, "high": ratio.high,
    }  # fmt: skip
    assert twenty.ratio(None) is None and "of it" in text(report)
    assert [peer["name"] for peer in report.json()["peers"]] == list(peers)


def test_peers_are_the_ones_that_the_benchmark_runs(orin):
    found = {peer.key: peer.call for peer in predicted_peers(orin, "float16")}
    assert list(found) == list(PEERS)
    for key, call in found.items():
        steps, guided = PEERS[key].steps, PEERS[key].variant != "lcm"
        assert (call.unet_guided, call.unet) == ((steps, 0) if guided else (0, steps)), key
        assert (call.controlnet_guided, call.controlnet) == (call.unet_guided, call.unet) and call.batch == 1
        assert call.source, "image to image encodes the photo at each call"
        assert (call.variant.attention_slice is not None) == (PEERS[key].variant == "attention_slicing"), key


def test_the_small_random_model_is_not_planned_as_if_it_were_sd15(orin):
    small, full = (Asked(name, settings(HALF, {"model_id": name})) for name in ("random", "random-sd15"))
    left_out, planned = plan(orin, [small, full], 8.0)
    assert left_out.one is None and "random-sd15" in (left_out.skipped or "")
    assert planned.skipped is None and planned.one is not None
