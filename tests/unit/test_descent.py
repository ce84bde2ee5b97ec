"""Memory runs out: what is given up, in which order, for how long; and nothing is lost, kept alive or hidden."""

import gc
import logging
import weakref

import numpy as np
import pytest
import torch

from sdaug.config import GenerationSettings, ModelSettings, RunSettings
from sdaug.diffusion import descent, steps
from sdaug.diffusion.adapters import Adapters
from sdaug.diffusion.descent import make, out_of_memory
from sdaug.diffusion.generator import Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.obtain import obtain
from sdaug.levers import Pipeline
from sdaug.soak.call_faults import ANGLES, CHUNKS, SETTINGS, alone, jobs, problems_of
from sdaug.soak.faults import KINDS, STAGES, Fault, error_of, injected, live_bytes
from sdaug.soak.load_faults import STAGES as LOAD_STAGES
from sdaug.soak.load_faults import LoadFault, load_problems_of
from sdaug.types import Reason

RANDOM = ModelSettings(model_id="random", device="cpu")


@pytest.fixture(autouse=True, scope="module")
def only_what_is_new():
    """The garbage collector need not look at every imported module again and again."""
    alone(())  # loads what is loaded at first use
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def generator():
    made = load_generator(RANDOM, {})
    yield made
    made.close()


def large(count: int) -> list[Job]:
    made = []
    for job in jobs()[:count]:
        picture = np.kron(job.view.image, np.ones((7, 7, 1), np.uint8))
        unseen = np.zeros((448, 448), np.float32)
        view = type(job.view)(job.view.pose, picture, unseen, unseen < 0.25, job.view.landmarks)
        made.append(Job(job.index, view, 255 - picture))
    return made


def fails_until(generator, step: str):
    """Memory runs out late in the UNet until `step` was taken."""

    def fail(*_):
        if step not in generator.facts.get("resource_steps", []):
            raise error_of("cuda")

    generator.pipeline.unet.conv_out.register_forward_pre_hook(fail)


# -- no angle lost, nothing alive, the next call works: every stage, chunk, depth and wording of the error at least once
# (`make soak` has them all)

CASES = [
    Fault(stage, CHUNKS[chunk], until, KINDS[(i + j) % len(KINDS)])
    for i, stage in enumerate(STAGES)
    for j, (chunk, until) in enumerate(
        [("first", "once"), ("middle", "batch_size"), [("last", "fp8_storage"), (list(CHUNKS)[i % 3], "always")][i % 2]]
    )
]


@pytest.mark.parametrize("fault", CASES, ids=lambda f: f"{f.stage}-{f.angle}-{f.until}-{f.kind}".replace(" ", "_"))
def test_out_of_memory_loses_no_angle_and_leaves_nothing_behind(fault):
    assert problems_of(fault) == []


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("until", ["once", "always"])
@pytest.mark.parametrize("stage", LOAD_STAGES)
def test_out_of_memory_while_loading_asks_for_less_or_gives_the_reason(stage, until, strict):
    kind = KINDS[list(LOAD_STAGES).index(stage)]
    assert load_problems_of(LoadFault(stage, until, kind, strict)) == []


def test_the_proof_notices_lost_angles_kept_tensors_and_other_pictures(monkeypatch):
    """Each promise broken once: a proof that never fails proves nothing."""
    fault = Fault("unet last", 2, "batch_size")
    with monkeypatch.context() as broken:
        broken.setattr(descent, "step_down", lambda *_: False)
        assert "angle 2 is lost" in problems_of(fault)
    with monkeypatch.context() as broken:
        kept = []
        broken.setattr(descent, "forget_frames", lambda error: kept.append(error))
        assert any("tensors of a failed attempt" in problem for problem in problems_of(fault))
    with monkeypatch.context() as broken:
        broken.setattr(descent, "free", lambda _: None)
        assert any("bytes more than at the start when" in problem for problem in problems_of(fault))
    with monkeypatch.context() as broken:
        real = steps._eight_bits

        def spoil(generator, *rest):
            torch.nn.init.zeros_(generator.pipeline.unet.conv_out.bias)
            return real(generator, *rest)

        broken.setattr(descent, "STEPS", [steps.Step("fp8_storage", spoil)])
        assert any("differs by" in problem for problem in problems_of(Fault("decode", 5)))


# -- the ladder


def test_one_thing_is_given_up_after_the_other(generator, caplog):
    settings = GenerationSettings(num_inference_steps=1, size=448)
    fails_until(generator, "size 384")
    with caplog.at_level(logging.WARNING, "sdaug.diffusion"):
        made = list(make(generator, large(3), settings))
    taken = ["vae_slicing", "batch_size 1", "vae_tiling 256", "tiny_vae", "fp8_storage", "size 384"]
    assert generator.facts["resource_steps"] == taken
    assert list(generator.facts["resource_steps_left_out"]) == ["model_cpu_offload"]
    assert "no memory of its own" in generator.facts["resource_steps_left_out"]["model_cpu_offload"]
    assert [one.result.image.shape for one in made] == [(448, 448, 3)] * 3
    assert {one.steps for one in made} == {(Reason.OUT_OF_MEMORY,)}
    assert len([r for r in caplog.records if "out of memory; from now on with" in r.message]) == len(taken)
    pipeline = generator.pipeline
    assert type(pipeline.vae).__name__ == "AutoencoderTiny" and pipeline.caps["size"] == 384
    assert pipeline.unet.conv_in.weight.dtype == torch.float8_e4m3fn


def test_a_step_that_changes_nothing_for_this_call_is_not_taken(generator):
    fails_until(generator, "fp8_storage")
    (made,) = make(generator, jobs()[:1], SETTINGS)
    assert made.result is not None and generator.facts["resource_steps"] == ["tiny_vae", "fp8_storage"]


def test_what_was_given_up_stays_given_up(generator):
    with injected(generator, Fault("unet first", 0, "batch_size")):
        list(make(generator, jobs(), SETTINGS))
    calls = []
    generator.pipeline.unet.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    later = list(make(generator, jobs(), SETTINGS))
    assert set(calls) == {1} and {one.steps for one in later} == {(Reason.OUT_OF_MEMORY,)}
    assert generator.facts["resource_steps"] == ["vae_slicing", "batch_size 1"]


def test_levers_that_exclude_a_step_are_respected(monkeypatch):
    loaded = load_generator(RANDOM, {"free_vae_encoder": {}})
    fails_until(loaded, "fp8_storage")
    made = list(make(loaded, jobs()[:2], SETTINGS))
    assert all(one.result is not None for one in made)
    assert "exclude each other" in loaded.facts["resource_steps_left_out"]["tiny_vae"]
    assert loaded.facts["resource_steps"] == ["vae_slicing", "batch_size 1", "fp8_storage"]
    loaded.close()


def test_a_tiny_vae_is_never_downloaded_in_need(folder, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    loaded = load_generator(ModelSettings(model_id=str(folder), device="cpu"), {})
    fails_until(loaded, "fp8_storage")
    list(make(loaded, jobs()[:1], SETTINGS))
    assert loaded.facts["resource_steps"] == ["fp8_storage"]
    assert "not on this machine" in loaded.facts["resource_steps_left_out"]["tiny_vae"]
    loaded.close()


def test_weights_leave_the_gpu_only_where_its_memory_is_its_own(generator, monkeypatch):
    monkeypatch.setattr(Pipeline, "memory_of_its_own", property(lambda _: True))
    fails_until(generator, "model_cpu_offload")
    (made,) = make(generator, jobs()[:1], SETTINGS)
    assert made.result is not None and generator.facts["resource_steps"][-1] == "model_cpu_offload"


def test_a_tiny_vae_that_does_not_fit_leaves_the_old_one_and_its_digest(generator, monkeypatch):
    vae, digest, parameters = generator.pipeline.vae, generator.facts["sha256"]["vae"], generator.facts["parameters"]
    before = dict(parameters)

    def run_out(pipeline):
        if pipeline.vae is not vae:
            raise error_of("cuda")

    monkeypatch.setattr(steps, "place", run_out)
    fails_until(generator, "fp8_storage")
    (made,) = make(generator, jobs()[:1], SETTINGS)
    assert made.result is not None and generator.facts["resource_steps"] == ["fp8_storage"]
    assert "memory ran out while it was done" in generator.facts["resource_steps_left_out"]["tiny_vae"]
    assert generator.pipeline.vae is vae and generator.pipeline.placed
    assert generator.facts["sha256"]["vae"] == digest and parameters == before


@pytest.fixture
def narrowing_fails(monkeypatch):
    """Memory runs out in the middle of the n-th layer that is narrowed to 8 bits. Gives the layers that were begun."""
    from diffusers.hooks import layerwise_casting

    def fail_at(n: int) -> list[torch.nn.Module]:
        real, begun = layerwise_casting.LayerwiseCastingHook.initialize_hook, []

        def run_out(hook, module):
            begun.append(module)
            if len(begun) == n:
                module.weight.data = module.weight.data.to(hook.storage_dtype)
                raise error_of("cuda")
            return real(hook, module)

        monkeypatch.setattr(layerwise_casting.LayerwiseCastingHook, "initialize_hook", run_out)
        return begun

    return fail_at


def test_weights_that_were_narrowed_before_memory_ran_out_stay_and_are_a_step(generator, narrowing_fails):
    begun = narrowing_fails(5)
    fails_until(generator, "fp8_storage partly")
    (made,) = make(generator, jobs()[:1], SETTINGS)
    assert made.result is not None and made.result.failure is None and made.steps == (Reason.OUT_OF_MEMORY,)
    assert generator.facts["resource_steps"] == ["tiny_vae", "fp8_storage partly"]
    assert "fp8_storage" not in generator.facts["resource_steps_left_out"]
    narrow = [layer.weight.dtype == torch.float8_e4m3fn for layer in begun]
    assert narrow == [True] * 4 + [False], "the layer in which memory ran out computes again"
    (later,) = make(generator, jobs()[:1], SETTINGS)
    assert np.array_equal(later.result.image, made.result.image) and later.steps == made.steps
    assert len(begun) == 5, "it is not tried again"


def test_a_step_for_which_memory_never_sufficed_is_left_out_and_the_layers_still_compute(generator, narrowing_fails):
    begun = narrowing_fails(1)
    fails_until(generator, "size 64")
    (made,) = make(generator, jobs()[:1], SETTINGS)
    assert made.result is None and generator.facts["resource_steps"] == ["tiny_vae"]
    assert "memory ran out while it was done" in generator.facts["resource_steps_left_out"]["fp8_storage"]
    generator.pipeline.unet.conv_out._forward_pre_hooks.clear()
    (made,) = make(generator, jobs()[:1], SETTINGS)
    assert made.result is not None and made.result.failure is None
    assert begun[0].weight.dtype == torch.float32


def test_no_angle_is_made_before_it_is_asked_for(generator):
    calls = []
    generator.pipeline.vae.decoder.register_forward_hook(lambda *_: calls.append(1))
    made = make(generator, jobs(), SETTINGS)
    assert calls == []
    next(made), next(made)
    assert len(calls) == 1


# -- strict, and what is no lack of memory


@pytest.mark.parametrize("kind", KINDS)
def test_strict_raises_as_it_came_with_nothing_alive(generator, kind):
    gc.collect()
    at_start = live_bytes()
    with injected(generator, Fault("unet middle", 2, "always", kind)) as watched:
        made = make(generator, jobs(), SETTINGS, strict=True)
        pictures = [next(made).result.index, next(made).result.index]
        with pytest.raises(type(error_of(kind))) as raised:
            next(made)
    assert str(raised.value) == str(error_of(kind)) and watched.raised == 1 and pictures == [0, 1]
    generator.sources.posteriors.clear()
    del made
    gc.collect()
    assert live_bytes() <= at_start, "the error is still held here, what its frames held is not"
    assert generator.facts.get("resource_steps", []) == []
    assert len(list(make(generator, jobs(), SETTINGS, strict=True))) == ANGLES


def test_any_other_error_is_raised_and_no_step_is_taken(generator):
    def fail(*_):
        raise RuntimeError("expected scalar type Half but found Float")

    generator.pipeline.unet.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="scalar type Half"):
        list(make(generator, jobs(), SETTINGS))
    assert generator.facts.get("resource_steps", []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_wording_is_understood(kind):
    assert out_of_memory(error_of(kind))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (77x32 and 768x16)"),
        ValueError("out of range"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_no_lack_of_memory(error):
    assert not out_of_memory(error)


def test_a_network_that_failed_goes_when_its_generator_is_closed(generator):
    with injected(generator, Fault("decode", 0)):
        list(make(generator, jobs()[:2], SETTINGS))
    unet = weakref.ref(generator.pipeline.unet)
    generator.close()
    gc.collect()
    assert unet() is None


def test_a_strict_load_that_lacks_memory_is_not_tried_again(monkeypatch):
    calls = []

    def fail(*_):
        calls.append(1)
        raise error_of("cuda")

    monkeypatch.setattr("sdaug.diffusion.load.load_generator", fail)
    with pytest.raises(torch.OutOfMemoryError):
        obtain(RunSettings(strict=True))
    assert len(calls) == 1
    assert obtain(RunSettings()).unavailable == (Reason.OUT_OF_MEMORY,)
    assert len(calls) == 4, "as asked, with fp8 storage, with offloading too"


# -- a face adapter, whose embedding the pack may not have


@pytest.mark.parametrize("strict", [False, True])
def test_a_face_adapter_that_the_pack_cannot_steer_is_left_out_and_recorded(monkeypatch, caplog, strict):
    monkeypatch.setattr(
        "sdaug.diffusion.load.load_adapters", lambda _, model: Adapters(embedding_dim=512 if model.face_id else None)
    )
    monkeypatch.setattr("sdaug.diffusion.load.find_adapters", lambda _: {})
    model = {"model_id": "random", "device": "cpu", "face_id": {}}
    settings = RunSettings.model_validate({"pack": "./pack", "model": model, "strict": strict})
    if strict:
        with pytest.raises(ValueError, match="wants 512 numbers a face, the face pack's recogniser gives 128"):
            obtain(settings, 128)
        return
    found = obtain(settings, 128)
    assert found.generator.facts["degraded"] == ["face_adapter_misfit"] and found.generator.facts["adapters"] == {}
    assert len(list(make(found.generator, jobs()[:1], SETTINGS))) == 1
    assert obtain(settings, 128, found).generator is found.generator, "not loaded again"
    fitting = obtain(settings, 512, found)
    assert found.generator.pipeline.unet is None
    assert fitting.generator.facts["degraded"] == [] and fitting.generator.adapters.embedding_dim == 512
    fitting.close()


def test_what_levers_keep_is_given_up_when_memory_runs_out(generator):
    given = []
    generator.pipeline.spare.append(lambda: given.append(len(generator.facts.get("resource_steps", []))))
    fails_until(generator, "vae_slicing")
    made = list(make(generator, jobs(), SETTINGS))
    assert all(one.result.image is not None for one in made)
    assert given == [0]  # once, before anything else is given up
