"""A budget in GB: the least is given up, in the ladder's order, and it is what the count says it is."""

import json
from pathlib import Path

import pytest

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import RunSettings
from sdaug.costmodel.memory import Peak, Plan
from sdaug.diffusion import budget, obtain
from sdaug.diffusion import counted as remembering
from sdaug.diffusion.budget import BudgetTooSmall, counted, fit, plan_of
from sdaug.diffusion.counted import remembered_peak
from sdaug.diffusion.generator import DiffusionGenerator
from sdaug.types import Reason

HALF = {"precision": {"dtype": "float16"}}
GB = 1e9


def asked(levers=None, **generation) -> RunSettings:
    return RunSettings.model_validate({"levers": HALF if levers is None else levers, "generation": generation})


@pytest.fixture
def sizes(monkeypatch):
    """Round numbers in place of counted ones: what each thing that is given up saves."""

    def peak(plan):
        weights = {"vae": int(0.2 * GB), "controlnet": int(0.8 * GB), "unet": int(1.8 * GB)}
        if plan.fp8_storage:
            weights |= {"controlnet": int(0.4 * GB), "unet": int(0.9 * GB)}
        if plan.vae == "tiny":
            weights["vae"] = 0
        everything = sum(weights.values())
        rest = everything - (int(0.1 * GB) if plan.encoder_freed else 0)
        in_vae = 1 if plan.vae_slicing else plan.images
        decode = in_vae * (0.02 if plan.vae == "tiny" else 0.05 if plan.vae_tile else 0.4) * (plan.size / 512) ** 2
        denoise = plan.images * 0.1 * (2 if plan.guided else 1) * (plan.size / 512) ** 2
        return Peak(
            {
                "encode": everything + int(0.05 * GB),
                "denoise": rest + int(denoise * GB),
                "decode": rest + int(decode * GB),
            },
            weights,
        )

    monkeypatch.setattr(budget, "remembered_peak", peak)


# -- on the real architecture


def test_what_is_counted_is_the_full_size_architecture_and_fits():
    plain = fit(4.0, asked(num_angles=5))
    assert (plain.steps, plain.batch_size, plain.predicted_gb < 4.0) == (("vae_slicing",), 5, True)
    missions = fit(3.0, asked(num_angles=5))
    assert (missions.batch_size, missions.steps) == (5, ("vae_slicing", "free_vae_encoder"))
    assert missions.predicted_gb == pytest.approx(2.99, abs=0.03)
    assert json.loads(json.dumps(missions.facts))["meter"].startswith("counted")


def test_a_count_is_remembered_for_as_long_as_the_same_code_would_count_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SDAUG_CACHE", str(tmp_path))
    calls = []

    def count(plan):
        calls.append(plan)
        return Peak({"encode": 7, "denoise": plan.images}, {"unet": 5})

    monkeypatch.setattr(remembering, "allocated_peak", count)
    for images, expected in ((1, 1), (1, 1), (2, 2)):
        assert remembered_peak(Plan(images=images)) == Peak({"encode": 7, "denoise": images}, {"unet": 5})
        assert len(calls) == expected
    for path in tmp_path.glob("peaks/*.json"):
        path.write_text("{")
    remembered_peak(Plan(images=1))
    remembered_peak(Plan(images=1))
    assert len(calls) == 3, "a damaged note is counted anew, once"
    monkeypatch.setattr(remembering, "_counted_by", lambda: {"torch": "another"})
    remembered_peak(Plan(images=1))
    assert len(calls) == 4


# -- with round numbers


def test_nothing_changes_where_everything_fits(sizes):
    settings = asked(num_angles=5)
    found = fit(9.0, settings)
    assert (found.levers, found.batch_size, found.steps) == (HALF, 5, ())
    assert found.predicted_gb == pytest.approx(4.8) and found.phase == "decode"


CASES = [
    # weights are 2.8; five images add 2.0 in the VAE, 0.5 in the UNet
    (4.7, (), 5, ["vae_slicing"]),
    # one image in the VAE is 0.4, in tiles 0.05; without the encoder all of it is 0.1 less
    (3.28, (), 2, ["vae_slicing"]),
    (3.15, (), 2, ["vae_tiling 256"]),
    (3.15, ("free_vae_encoder",), 2, ["vae_slicing", "free_vae_encoder"]),
    (3.0, (), 2, ["vae_tiling 256"]),
    (2.75, ("tiny_vae",), 1, ["tiny_vae"]),
    # no tiny VAE here: half of the other weights is 1.3
    (2.75, (), 5, ["vae_slicing", "fp8_storage"]),
    (1.65, (), 1, ["vae_tiling 256", "fp8_storage"]),
    (1.45, ("model_cpu_offload",), 1, ["fp8_storage", "model_cpu_offload"]),
    (1.36, ("tiny_vae",), 1, ["tiny_vae", "fp8_storage", "size 384"]),
]


@pytest.mark.parametrize(("budget_gb", "available", "batch", "steps"), CASES)
def test_the_least_is_given_up_and_nothing_that_is_not_needed(sizes, budget_gb, available, batch, steps):
    settings = asked(num_angles=5)
    found = fit(budget_gb, settings, available=available)
    words = steps + ([f"batch_size {batch}"] if batch < 5 else [])
    assert (found.batch_size, sorted(found.steps)) == (batch, sorted(words))
    assert found.predicted_gb <= budget_gb
    for name in set(found.levers) - set(HALF):
        fewer = {other: options for other, options in found.levers.items() if other != name}
        assert counted(settings, fewer, found.batch_size).bytes > budget_gb * GB, f"{name} was not needed"


def test_levers_that_were_asked_for_stay_and_are_not_asked_twice(sizes):
    tiled = HALF | {"vae_tiling": {"tile": 128}, "angle_batch": {"batch_size": 3}}
    found = fit(3.2, asked(tiled, num_angles=10))
    assert (found.levers, found.batch_size, found.steps) == (tiled, 3, ())
    small = fit(2.95, asked(HALF | {"resolution": {"size": 256}}, num_angles=2))
    assert "vae_tiling" not in small.levers, "256 px are one tile"
    engine = HALF | {"tiny_vae": {}}
    assert "free_vae_encoder" not in fit(2.75, asked(engine, num_angles=5)).levers, "the two exclude each other"


def test_what_a_call_holds_is_what_is_counted():
    guided = asked(guidance_scale=7.5)
    assert plan_of(guided, HALF, 2).guided and not plan_of(asked(), HALF, 2).guided
    never = HALF | {"guidance_interval": {"guidance_start": 0.99, "guidance_end": 1.0}}
    assert not plan_of(guided, never, 2).guided, "no one of the 20 steps lies in there"
    plan = plan_of(asked(size=256), {"fp8_storage": {}, "vae_slicing": {}, "free_vae_encoder": {}}, 4)
    assert (plan.images, plan.size, plan.dtype) == (4, 256, "float32")
    assert (plan.fp8_storage, plan.vae_slicing, plan.encoder_freed) == (True, True, True)
    assert plan_of(asked(), {"precision": {}}, 1).dtype == "float16", "the lever's own default"
    lora = RunSettings.model_validate(
        {"model": {"lora": {"kind": "lcm"}}, "generation": {"guidance_scale": 7.5}, "levers": HALF}
    )
    assert not plan_of(lora, HALF, 1).guided


def test_what_the_count_does_not_know_is_said(sizes):
    settings = RunSettings.model_validate(
        {
            "pack": "buffalo_l",
            "model": {"face_id": {}, "safety_checker": "on"},
            "levers": HALF | {"cuda_graphs": {}},
        }
    )
    assert fit(9, settings).not_counted == ("cuda_graphs", "face_id", "safety_checker")


def test_a_budget_that_nothing_fits_is_an_error_with_the_least_there_can_be(sizes):
    with pytest.raises(BudgetTooSmall, match=r"budget_gb 1: .* still takes 1.5\d GB \(counted, in the phase") as error:
        fit(1.0, asked())
    assert error.value.reason is Reason.BUDGET_TOO_SMALL


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), True])
def test_a_budget_is_a_positive_number(wrong):
    with pytest.raises(ValueError, match="budget_gb"):
        RunSettings(budget_gb=wrong)


# -- in the product


def random(**changes) -> RunSettings:
    small = {"num_inference_steps": 1, "size": 64, "num_angles": 2}
    return RunSettings.model_validate(
        {"model": {"model_id": "random", "device": "cpu"}, "generation": small, "levers": HALF} | changes
    )


def test_levers_are_picked_before_loading_and_recorded(sizes, astronaut):
    augmentor = GenerativeAugmentor(settings=random(budget_gb=1.7, levers={"precision": {"dtype": "bfloat16"}}))
    record = augmentor.augment(astronaut, num_angles=2)
    facts = record.generator
    assert facts["budget"]["budget_gb"] == 1.7 >= facts["budget"]["predicted_gb"] and facts["budget"]["steps"]
    assert set(facts["model"]["levers"]) == {"precision", *(s.split()[0] for s in facts["budget"]["steps"])}
    assert facts["settings"]["batch_size"] is None, "what was asked for"
    first = augmentor._diffusion().generator
    augmentor.augment(astronaut, num_angles=2)
    assert augmentor._diffusion(augmentor._generation(2, None)).generator is first, "loaded once"
    augmentor.configure(budget_gb=9.0)
    augmentor.augment(astronaut, num_angles=1)
    assert first.pipeline.unet is None and set(augmentor._loaded.generator.facts["levers"]) == {"precision"}
    augmentor.cleanup()


def test_a_batch_is_no_larger_than_the_budget_allows(sizes, astronaut, monkeypatch):
    augmentor = GenerativeAugmentor(
        settings=random(budget_gb=2.97, levers={"vae_slicing": {}, "resolution": {"size": 512}})
    )
    seen = []
    real = DiffusionGenerator._made
    monkeypatch.setattr(
        DiffusionGenerator, "_made", lambda self, jobs, *rest: seen.append(len(jobs)) or real(self, jobs, *rest)
    )
    augmentor.augment(astronaut, num_angles=3)
    assert (augmentor._loaded.fit.batch_size, max(seen)) == (1, 1) and len(seen) >= 3
    augmentor.cleanup()


@pytest.mark.parametrize("strict", [False, True])
def test_a_budget_too_small_is_the_warp_with_the_reason_or_an_error(sizes, astronaut, strict):
    augmentor = GenerativeAugmentor(settings=random(budget_gb=0.5, strict=strict))
    if strict:
        with pytest.raises(BudgetTooSmall):
            augmentor.augment(astronaut, num_angles=1)
    else:
        record = augmentor.augment(astronaut, num_angles=1)
        assert (record.angles[0].rung, record.angles[0].degraded) == ("warp", (Reason.BUDGET_TOO_SMALL,))
        assert "0.5" in record.generator["model"]["why_not"]
        augmentor.configure(budget_gb=None)
        assert augmentor._diffusion().generator is not None
    augmentor.cleanup()


def test_what_can_be_had_here_is_known_before_loading(folder, monkeypatch):
    from huggingface_hub import constants

    from sdaug.config import ModelSettings

    assert obtain._available(ModelSettings(model_id="random", device="cpu")) == {"free_vae_encoder", "tiny_vae"}
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert obtain._available(ModelSettings(model_id=str(folder), device="cpu")) == {"free_vae_encoder"}
    assert obtain._available(ModelSettings(model_id="./nowhere", device="cpu")) == {"free_vae_encoder"}


def test_the_command_takes_a_budget(sizes, sdaug):
    result = sdaug("augment", "astronaut", "--out", "out", "--model", "random", "--num-angles", 1, "--budget-gb", 0.5)
    assert result.code == 0
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["angles"][0]["degraded"] == ["budget_too_small"]
    arguments = ("--model", "random", "--num-angles", 1, "--budget-gb", 0.5, "--strict")
    result = sdaug("augment", "astronaut", "--out", "strict", *arguments)
    assert result.code == 1 and "budget_too_small: budget_gb 0.5" in result.err
    assert sdaug("augment", "astronaut", "--out", "none", "--budget-gb", 0).code == 2
