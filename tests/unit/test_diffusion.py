"""The diffusion backend on the small random model: seeds, steps, freeing, and never a silent wrong picture."""

import gc
import json
import logging
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from sdaug.config import GenerationSettings, ModelSettings
from sdaug.diffusion import load as loading
from sdaug.diffusion import loop
from sdaug.diffusion.colour import in_tune
from sdaug.diffusion.generator import Generated, Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.schedule import Evaluations
from sdaug.diffusion.strength import kept
from sdaug.diffusion.weights import WeightsMissing
from sdaug.plugins import PluginError
from sdaug.types import Pose, Reason, View

RANDOM = ModelSettings(model_id="random", device="cpu")
SIDE = 64


def view(seed: int = 0, side: int = SIDE, valid: float = 0.0) -> View:
    """A coarse picture of which `valid` is the person's own everywhere: 0, so that diffusion makes all of it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((side, side)))
    own = np.full((side, side), valid, np.float32)
    return View(Pose(0, 0), image, own, own < 0.25, np.zeros((478, 3), np.float32))


def control(side: int = SIDE) -> np.ndarray:
    image = np.zeros((side, side, 3), np.uint8)
    image[side // 4 : side // 2, side // 4 :] = 255
    return image


def jobs(count: int, *, first: int = 0, **kwargs) -> list[Job]:
    return [Job(i, view(seed=i, **kwargs), control()) for i in range(first, first + count)]


def settings(**changes) -> GenerationSettings:
    return GenerationSettings.model_validate(dict(num_inference_steps=2, size=SIDE) | changes)


@pytest.fixture(scope="module")
def generator():
    made = load_generator(RANDOM, {})
    yield made
    made.close()


@pytest.fixture
def own_generator():
    """One that a test may damage."""
    made = load_generator(RANDOM, {})
    yield made
    made.close()


def made(generator, control_image=None, seen=None, **changes) -> Generated:
    control_image = control() if control_image is None else control_image
    (result,) = generator.generate([Job(0, seen or view(), control_image)], settings(**changes))
    return result


def one(generator, control_image=None, seen=None, **changes) -> np.ndarray:
    result = made(generator, control_image, seen, **changes)
    assert result.failure is None and result.image is not None
    return result.image


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


# -- what comes out


def test_an_image_is_uint8_rgb_with_contrast(generator):
    image = one(generator, control_image=control(512), seen=view(side=512), size=512)
    assert image.shape == (512, 512, 3) and image.dtype == np.uint8
    assert image.std() > 10 and ((image > 0) & (image < 255)).mean() > 0.9


def test_same_seed_same_image_other_seed_other_image(generator):
    assert np.array_equal(one(generator), one(generator))
    assert difference(one(generator), one(generator, seed=1)) > 5


def test_every_setting_and_input_changes_the_image(generator):
    base = one(generator)
    for changes in (
        dict(num_inference_steps=4),
        dict(hole_strength=1.0),
        dict(guidance_scale=50.0),
        dict(scheduler="euler"),
        dict(controlnet_conditioning_scale=0.1),
        dict(num_inference_steps=4, control_guidance_start=0.5),
        dict(num_inference_steps=4, control_guidance_end=0.5),
        dict(size=128),
        dict(control_image=255 - control()),
        dict(seen=view(seed=1)),
    ):
        assert difference(base, one(generator, **changes)) > 0.2, changes
    for less, changes in (
        (dict(guidance_scale=50.0, num_inference_steps=4), dict(guidance_start=0.5)),
        (dict(guidance_scale=50.0, num_inference_steps=4), dict(guidance_end=0.5)),
        (dict(num_inference_steps=4), dict(controlnet_interval=2)),
    ):
        assert not np.array_equal(one(generator, **less), one(generator, **less, **changes)), changes


def test_strength_is_for_what_the_photo_shows_and_hole_strength_for_the_rest(generator):
    shown, unseen = view(valid=1.0), view(valid=0.0)
    less, more = dict(strength=0.25, num_inference_steps=4), dict(strength=1.0, num_inference_steps=4)
    assert not np.array_equal(
        made(generator, seen=shown, **less).diffused, made(generator, seen=shown, **more).diffused
    )
    assert np.array_equal(made(generator, seen=unseen, **less).diffused, made(generator, seen=unseen, **more).diffused)


def test_the_photos_own_pixels_stay_and_only_the_others_are_diffused(generator):
    seen = view(side=512)
    valid = np.zeros((512, 512), np.float32)
    valid[:, :256] = 1
    half = View(seen.pose, seen.image, valid, valid < 0.25, seen.landmarks)
    result = made(generator, control_image=control(512), seen=half, size=512)
    assert np.array_equal(result.image[:, :200], half.image[:, :200])
    tuned = in_tune(result.diffused, half.image, kept(valid))
    assert np.array_equal(result.image[:, 256:], tuned[:, 256:]) and not np.array_equal(tuned, half.image)
    assert difference(result.diffused[:, :200], half.image[:, :200]) > 1
    gap = tuned.astype(float) - half.image
    share = ((result.image - half.image.astype(float)) * gap).sum((0, 2)) / (gap**2).sum((0, 2))
    assert share[230] < 0.05 and share[255] > 0.8 and np.abs(np.diff(share)).max() < 0.15, (
        "the two meet without an edge"
    )


def test_an_angles_image_depends_on_its_index_and_not_on_the_others(generator):
    three = list(generator.generate(jobs(3), settings()))
    two = list(generator.generate(jobs(2), settings(batch_size=1)))
    alone = list(generator.generate(jobs(1, first=2), settings()))
    assert [result.index for result in three] == [0, 1, 2]
    for a, b in zip(three, [*two, *alone], strict=True):
        assert np.abs(a.image.astype(int) - b.image).max() <= 1
    same_view_twice = [Job(0, view(), control()), Job(1, view(), control())]
    assert difference(*(result.image for result in generator.generate(same_view_twice, settings()))) > 5


def test_batches_are_of_the_size_asked_for_and_made_when_asked_for(generator):
    calls = []
    hook = generator.pipeline.unet.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    results = generator.generate(jobs(5), settings(num_inference_steps=1, batch_size=2))
    assert calls == []
    first = next(results)
    assert calls == [2] and first.batch == 2
    rest = list(results)
    hook.remove()
    assert calls == [2, 2, 1] and rest[-1].batch == 1


def test_the_photo_is_encoded_once_and_the_control_image_once_a_batch(own_generator):
    calls = {"encoder": 0, "hint": 0}

    def count(name):
        def hook(*_):
            calls[name] += 1

        return hook

    own_generator.pipeline.vae.encoder.register_forward_hook(count("encoder"))
    own_generator.pipeline.hint.register_forward_hook(count("hint"))
    list(own_generator.generate(jobs(3), settings(num_inference_steps=4)))
    assert calls == {"encoder": 3, "hint": 1}
    list(own_generator.generate(jobs(3), settings(hole_strength=0.5)))
    assert calls == {"encoder": 3, "hint": 2}


@pytest.mark.parametrize(
    ("steps", "strength", "run"), [(10, 0.45, 4), (20, 0.45, 9), (3, 0.1, 1), (49, 0.001, 1), (1, 0.5, 1), (4, 1.0, 4)]
)
def test_denoising_steps_are_steps_times_strength_but_at_least_one(generator, steps, strength, run):
    calls = []
    hook = generator.pipeline.unet.register_forward_hook(lambda *_: calls.append(1))
    result = made(generator, num_inference_steps=steps, strength=strength, hole_strength=strength)
    hook.remove()
    assert len(calls) == run == result.evaluations.unet


def test_the_global_random_state_is_neither_used_nor_changed(generator):
    torch.manual_seed(1)
    before, first = torch.get_rng_state(), one(generator)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(first, one(generator))


# -- what is refused


@pytest.mark.parametrize("part", ["unet", "vae"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_a_picture(own_generator, part, value):
    pipeline = own_generator.pipeline
    layer = pipeline.unet.conv_out if part == "unet" else pipeline.vae.decoder.conv_out
    torch.nn.init.constant_(layer.bias, value)
    result = made(own_generator)
    assert (result.image, result.diffused, result.failure) == (None, None, Reason.NOT_FINITE)
    assert "angle 0" in result.message


def test_one_bad_image_of_a_batch_takes_no_other_with_it(own_generator):
    def spoil(_, __, output):
        output[0][1] = float("nan")

    own_generator.pipeline.unet.register_forward_hook(spoil)
    results = list(own_generator.generate(jobs(3), settings()))
    assert [result.failure for result in results] == [None, Reason.NOT_FINITE, None]


def test_a_black_image_is_never_a_picture(own_generator):
    torch.nn.init.zeros_(own_generator.pipeline.vae.decoder.conv_out.weight)
    torch.nn.init.constant_(own_generator.pipeline.vae.decoder.conv_out.bias, -5.0)
    result = made(own_generator)
    assert (result.image, result.failure) == (None, Reason.BLACK_IMAGE)


def test_images_of_the_wrong_kind_are_refused_at_once(generator):
    for job, message in (
        (Job(0, view(), control(32)), r"control image 0 is uint8 \(32, 32, 3\); uint8 \(64, 64, 3\) expected"),
        (Job(0, view(), control().astype(np.float32)), "control image 0 is float32"),
        (Job(0, view(), control()[..., 0]), r"control image 0 is uint8 \(64, 64\)"),
        (Job(0, view(side=60), control(60)), "a multiple of 8"),
    ):
        with pytest.raises(ValueError, match=message):
            generator.generate([job], settings())


def test_lever_and_device_names_are_checked_before_weights_are_looked_for(monkeypatch):
    monkeypatch.setattr(loading, "load_components", lambda _: pytest.fail("weights were looked for"))
    with pytest.raises(PluginError, match="unknown lever 'vae_slicin'; did you mean 'vae_slicing'"):
        load_generator(RANDOM, {"vae_slicin": {}})
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        load_generator(ModelSettings(model_id="random", device="gpu"), {})


def test_missing_weights_are_an_error_and_never_random_ones(tmp_path):
    with pytest.raises(WeightsMissing):
        load_generator(ModelSettings(model_id=str(tmp_path / "nowhere"), device="cpu"), {})


# -- what is recorded


def test_facts_say_what_runs_and_are_json(generator):
    facts = json.loads(json.dumps(generator.facts))
    assert facts["model_id"] == facts["controlnet_id"] == "random" and facts["random"] is True
    assert facts["revision"] is None and facts["safety_checker"] == "absent" and facts["degraded"] == []
    assert facts["reasons"] == ["random_weights"]
    assert (facts["device"], facts["dtype"], facts["scheduler"]) == ("cpu", "float32", "DDIMScheduler")
    assert facts["parameters"]["unet"] == sum(p.numel() for p in generator.pipeline.unet.parameters())
    assert {len(digest) for digest in facts["sha256"].values()} == {64}


def test_no_gpu_is_the_cpu_in_float32_warned_of_once_and_recorded(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING, logger="sdaug"):
        loaded = load_generator(ModelSettings(model_id="random", device="cuda"), {})
    assert [record.name for record in caplog.records if record.name.startswith("sdaug")] == ["sdaug.diffusion"]
    assert (loaded.facts["device"], loaded.facts["dtype"], loaded.facts["degraded"]) == ("cpu", "float32", ["no_gpu"])
    loaded.close()


def test_a_lever_changes_what_runs_and_is_recorded(generator):
    loaded = load_generator(RANDOM, {"precision": {"dtype": "bfloat16"}, "attention_slicing": {}})
    assert loaded.facts["dtype"] == "bfloat16"
    assert loaded.facts["levers"] == {"precision": {"dtype": "bfloat16"}, "attention_slicing": {"slice_size": "auto"}}
    assert 0 < difference(one(loaded), one(generator)) < 10
    loaded.close()


# -- giving the memory back


def test_close_frees_the_networks_and_is_final():
    loaded = load_generator(RANDOM, {})
    one(loaded)
    networks = [weakref.ref(getattr(loaded.pipeline, name)) for name in ("unet", "controlnet", "vae")]
    held = loaded.pipeline.unet.conv_in.weight
    loaded.close()
    del held
    gc.collect()
    assert [network() for network in networks] == [None] * 3
    with pytest.raises(RuntimeError, match="closed"):
        one(loaded)
    loaded.close()


def test_close_frees_the_memory_of_a_network_that_something_else_still_holds():
    loaded = load_generator(RANDOM, {})
    unet = loaded.pipeline.unet
    loaded.close()
    assert {parameter.device.type for parameter in unet.parameters()} == {"meta"}


def test_what_the_safety_checker_objects_to_is_never_a_picture(generator):
    from dataclasses import replace

    asked = []

    def flags(images):
        asked.append((images.shape, images.dtype))
        return [len(asked) == 2]

    results = list(replace(generator, flags=flags).generate(jobs(3), settings()))
    assert [result.failure for result in results] == [None, Reason.UNSAFE_IMAGE, None]
    assert results[1].image is None and asked == [((1, SIDE, SIDE, 3), np.dtype(np.uint8))] * 3


@pytest.mark.parametrize("scheduler", [None, "ddim_trailing", "euler", "dpmsolver++", "lcm"])
def test_an_angle_of_another_strength_comes_out_the_same_alone(generator, scheduler):
    """One angle that the photo shows whole, beside one that it does not show at all."""
    seen = [Job(0, view(seed=0, valid=1.0), control()), Job(1, view(seed=1, valid=0.0), control())]
    chosen = settings(num_inference_steps=10, scheduler=scheduler, guidance_scale=7.5, guidance_end=0.5)
    chosen = chosen.model_copy(update={"control_guidance_end": 0.6, "controlnet_interval": 2})
    together = list(generator.generate(seen, chosen))
    for job, made_together in zip(seen, together, strict=True):
        (alone,) = generator.generate([job], chosen)
        assert np.abs(alone.diffused.astype(int) - made_together.diffused).max() <= 1
    assert [result.evaluations.unet for result in together] == [9, 9]


WAITS = dict(num_inference_steps=20, strength=0.3, hole_strength=0.9)
"""An angle that the photo shows whole waits through 12 of 18 steps."""


@pytest.mark.parametrize("scheduler", ["ddim", "ddim_trailing", "euler"])
@pytest.mark.parametrize(
    ("windows", "ran"),
    [
        ({}, Evaluations(6, 0, 6, 0)),
        (dict(guidance_scale=7.5, guidance_end=0.8, control_guidance_end=0.9), Evaluations(6, 2, 4, 2)),
        (dict(control_guidance_end=0.5), Evaluations(6, 0, 0, 0)),
        # ControlNet's features of step 10 are those of steps 11 to 14 too.
        (dict(controlnet_interval=5), Evaluations(8, 0, 2, 0)),
    ],
)
def test_nothing_runs_while_every_place_waits_and_the_picture_is_the_same(
    generator, monkeypatch, scheduler, windows, ran
):
    shown = Job(0, view(valid=1.0), control())
    asked = settings(**WAITS | windows, scheduler=scheduler)
    calls = {"unet": [], "controlnet": []}
    hooks = [
        getattr(generator.pipeline, name).register_forward_pre_hook(lambda _, args, to=to: to.append(len(args[0])))
        for name, to in calls.items()
    ]
    (result,) = generator.generate([shown], asked)
    for hook in hooks:
        hook.remove()
    assert result.evaluations == ran
    guided = {name: seen.count(2) for name, seen in calls.items()}
    assert Evaluations(len(calls["unet"]), guided["unet"], len(calls["controlnet"]), guided["controlnet"]) == ran
    monkeypatch.setattr(loop, "MEMORYLESS", ())
    (whole,) = generator.generate([shown], asked)
    assert whole.evaluations.unet == 18 and np.array_equal(result.diffused, whole.diffused)


@pytest.mark.parametrize("scheduler", ["dpmsolver++", "lcm", "tcd"])
def test_a_scheduler_that_remembers_or_draws_noise_takes_every_step(generator, scheduler):
    (result,) = generator.generate([Job(0, view(valid=1.0), control())], settings(**WAITS, scheduler=scheduler))
    assert result.evaluations == Evaluations(18, 0, 18, 0)


def test_a_place_takes_as_many_steps_as_an_image_of_its_strength(generator):
    """A whole image at the strength of what the photo shows is what that part is in a mixed one."""
    shown = Job(0, view(valid=1.0), control())
    (mixed,) = generator.generate([shown], settings(num_inference_steps=10, strength=0.3, hole_strength=0.9))
    (plain,) = generator.generate([shown], settings(num_inference_steps=10, strength=0.3, hole_strength=0.3))
    assert plain.evaluations.unet == mixed.evaluations.unet == 3
    assert np.abs(mixed.diffused.astype(int) - plain.diffused).max() <= 1


def test_a_cap_lowers_what_is_asked_for_and_never_raises_it(own_generator):
    own_generator.pipeline.caps.update(batch_size=3, size=128)
    assert own_generator.settings_for(settings(size=512)).size == 128
    assert own_generator.settings_for(settings(size=64, batch_size=1)).model_dump().items() >= {
        "size": 64, "batch_size": 1,
    }.items()  # fmt: skip
    assert own_generator.settings_for(settings()).batch_size == 3


def test_a_second_try_asks_for_less_whoever_has_set_the_strength(own_generator):
    own_generator.pipeline.hold(hole_strength=0.8)
    (less,) = own_generator.generate(jobs(1), settings(num_inference_steps=10), share=0.5)
    assert less.evaluations.unet == 4


def test_infinite_latents_are_no_picture_even_where_the_decoder_would_make_one(own_generator):
    from sdaug.diffusion.random_model import random_tiny_vae

    own_generator.pipeline.vae = random_tiny_vae("float32")[0]

    def spoil(_, __, output):
        output[0][0, 0, 0, 0] = float("inf")

    own_generator.pipeline.unet.register_forward_hook(spoil)
    assert made(own_generator, scheduler="euler").failure is Reason.NOT_FINITE
