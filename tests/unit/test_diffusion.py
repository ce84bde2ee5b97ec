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
from sdaug.plugins import PluginError
from sdaug.diffusion import generator as diffusion
from sdaug.diffusion.generator import NotFinite, load_generator
from sdaug.diffusion.weights import WeightsMissing
from sdaug.types import Pose, Reason, View

RANDOM = ModelSettings(model_id="random", device="cpu")
SIDE = 64


def view(seed: int = 0, side: int = SIDE) -> View:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((side, side)))
    none = np.zeros((side, side), bool)
    return View(Pose(0, 0), image, np.ones((side, side), np.float32), none, np.zeros((478, 3), np.float32))


def control(side: int = SIDE) -> np.ndarray:
    image = np.zeros((side, side, 3), np.uint8)
    image[side // 4 : side // 2, side // 4 :] = 255
    return image


def settings(**changes) -> GenerationSettings:
    return GenerationSettings.model_validate(dict(num_inference_steps=2, strength=0.9) | changes)


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


def one(generator, control_image=None, seen=None, **changes) -> np.ndarray:
    control_image = control() if control_image is None else control_image
    return next(generator.generate([seen or view()], [control_image], settings(**changes)))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


# -- what comes out


def test_an_image_is_uint8_rgb_with_contrast(generator):
    image = one(generator, control_image=control(512), seen=view(side=512))
    assert image.shape == (512, 512, 3) and image.dtype == np.uint8
    assert image.std() > 10 and ((image > 0) & (image < 255)).mean() > 0.9


def test_same_seed_same_image_other_seed_other_image(generator):
    assert np.array_equal(one(generator), one(generator))
    assert difference(one(generator), one(generator, seed=1)) > 5


def test_every_setting_and_input_changes_the_image(generator):
    base = one(generator)
    for changes in (
        dict(num_inference_steps=4),
        dict(strength=1.0),
        dict(guidance_scale=5.0),
        dict(controlnet_conditioning_scale=0.1),
        dict(control_image=255 - control()),
        dict(seen=view(seed=1)),
    ):
        assert difference(base, one(generator, **changes)) > 0.2, changes


def test_it_equals_the_stock_pipeline_pixel_for_pixel(generator):
    seed = int(np.random.SeedSequence([0, 0]).generate_state(1, np.uint64)[0])
    stock = generator.pipe(
        image=Image.fromarray(view().image),
        control_image=Image.fromarray(control()),
        strength=0.6,
        num_inference_steps=5,
        guidance_scale=3.0,
        controlnet_conditioning_scale=0.65,
        generator=torch.Generator("cpu").manual_seed(seed),
        prompt_embeds=generator.prompt_embeds,
        negative_prompt_embeds=generator.negative_prompt_embeds,
    ).images[0]
    ours = one(generator, num_inference_steps=5, strength=0.6, guidance_scale=3.0)
    assert np.array_equal(ours, np.asarray(stock))


def test_an_angles_image_depends_on_its_index_and_not_on_the_others(generator):
    views, controls = [view(seed=i) for i in range(3)], [control()] * 3
    three = list(generator.generate(views, controls, settings()))
    two = list(generator.generate(views[:2], controls[:2], settings()))
    alone = list(generator.generate(views[2:], controls[2:], settings(), indices=[2]))
    assert len(three) == 3 and len(two) == 2
    for a, b in zip(three, [*two, *alone], strict=True):
        assert np.array_equal(a, b)
    same_view_twice = list(generator.generate([view()] * 2, controls[:2], settings()))
    assert difference(*same_view_twice) > 5


def test_images_are_made_when_asked_for(generator):
    calls = []
    hook = generator.pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    images = generator.generate([view(), view()], [control()] * 2, settings())
    assert len(calls) == 0
    next(images)
    first = len(calls)
    next(images)
    hook.remove()
    assert 0 < first < len(calls)


@pytest.mark.parametrize(
    ("steps", "strength", "run"), [(10, 0.45, 4), (20, 0.45, 9), (3, 0.1, 1), (49, 0.001, 1), (1, 0.5, 1), (4, 1.0, 4)]
)
def test_denoising_steps_are_steps_times_strength_but_at_least_one(generator, steps, strength, run):
    calls = []
    hook = generator.pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    one(generator, num_inference_steps=steps, strength=strength)
    hook.remove()
    assert len(calls) == run


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
    layer = own_generator.pipe.unet.conv_out if part == "unet" else own_generator.pipe.vae.decoder.conv_out
    torch.nn.init.constant_(layer.bias, value)
    with pytest.raises(NotFinite, match="of angle 0: .* are not finite") as caught:
        one(own_generator)
    assert caught.value.reason is Reason.NOT_FINITE


def test_images_of_the_wrong_kind_are_refused_at_once(generator):
    good = [view()], [control()]
    for views, controls, message in (
        (good[0], [], "1 views, 0 control images and 1 indices"),
        (good[0], [control(32)], r"control image 0 is uint8 \(32, 32, 3\); uint8 \(64, 64, 3\) expected"),
        (good[0], [control().astype(np.float32)], "control image 0 is float32"),
        (good[0], [control()[..., 0]], r"control image 0 is uint8 \(64, 64\)"),
        ([view(side=60)], [control(60)], "a multiple of 8"),
    ):
        with pytest.raises(ValueError, match=message):
            generator.generate(views, controls, settings())


def test_lever_and_device_names_are_checked_before_weights_are_looked_for(monkeypatch):
    monkeypatch.setattr(diffusion, "load_components", lambda _: pytest.fail("weights were looked for"))
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
    assert facts["parameters"]["unet"] == sum(p.numel() for p in generator.pipe.unet.parameters())
    assert {len(digest) for digest in facts["sha256"].values()} == {64}


def test_no_gpu_is_the_cpu_in_float32_warned_of_once_and_recorded(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING, logger="sdaug"):
        made = load_generator(ModelSettings(model_id="random", device="cuda"), {})
    assert [record.name for record in caplog.records if record.name.startswith("sdaug")] == ["sdaug.diffusion"]
    assert (made.facts["device"], made.facts["dtype"], made.facts["degraded"]) == ("cpu", "float32", ["no_gpu"])
    made.close()


def test_a_lever_changes_what_runs_and_is_recorded(generator):
    made = load_generator(RANDOM, {"precision": {"dtype": "bfloat16"}, "attention_slicing": {}})
    assert made.facts["dtype"] == "bfloat16"
    assert made.facts["levers"] == {"precision": {"dtype": "bfloat16"}, "attention_slicing": {"slice_size": "auto"}}
    assert 0 < difference(one(made), one(generator)) < 10
    made.close()


# -- giving the memory back


def test_close_frees_the_networks_and_is_final():
    made = load_generator(RANDOM, {})
    one(made)
    networks = [weakref.ref(getattr(made.pipe, name)) for name in ("unet", "controlnet", "vae")]
    held = made.pipe.unet.conv_in.weight
    made.close()
    del held
    gc.collect()
    assert [network() for network in networks] == [None] * 3
    with pytest.raises(RuntimeError, match="closed"):
        one(made)
    made.close()


def test_close_frees_the_memory_of_a_network_that_something_else_still_holds():
    made = load_generator(RANDOM, {})
    unet = made.pipe.unet
    made.close()
    assert {parameter.device.type for parameter in unet.parameters()} == {"meta"}
