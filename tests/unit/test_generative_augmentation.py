"""GenerativeAugmentor as most users meet it: BGR in and out, ten angles at most, an answer whatever fails."""

import gc
import logging
import weakref

import numpy as np
import pytest
import torch

from sdaug import GenerativeAugmentor
from sdaug.config import DEFAULT_MODEL, NANO, RunSettings
from sdaug.diffusion.generator import DiffusionGenerator
from sdaug.diffusion.weights import WeightsMissing
from sdaug.face.photo import photo_from_array
from sdaug.types import ANGLES, PhotoError, Reason


def settings(**changes) -> RunSettings:
    return RunSettings.model_validate(changes)


@pytest.fixture(scope="module")
def two(astronaut) -> np.ndarray:
    """Two faces side by side, the right one the smaller; RGB."""
    from PIL import Image

    small = np.asarray(Image.fromarray(astronaut.pixels).resize((384, 384)))
    canvas = np.full((512, 896, 3), 127, np.uint8)
    canvas[:, :512], canvas[:384, 512:] = astronaut.pixels, small
    return canvas


def test_pipeline_initialization(nano, nano_record):
    mission = GenerativeAugmentor("runwayml/stable-diffusion-v1-5", True, "cuda")
    assert mission.settings.model.model_id == DEFAULT_MODEL
    assert mission.settings.levers["precision"] == {"dtype": "float16"}
    assert GenerativeAugmentor(use_fp16=False).settings.levers["precision"] == {"dtype": "float32"}
    assert GenerativeAugmentor(use_fp16=True, device="cpu").settings.levers["precision"] == {"dtype": "float32"}
    given = settings(levers={"precision": {"dtype": "bfloat16"}}, model={"device": "cpu"})
    assert GenerativeAugmentor(settings=given).settings == given

    loaded = nano._diffusion().generator.pipeline
    assert [type(part).__name__ for part in (loaded.unet, loaded.controlnet, loaded.vae)] == [
        "UNet2DConditionModel", "ControlNetModel", "AutoencoderKL",
    ]  # fmt: skip
    facts = nano_record.generator["model"]
    assert facts["random"] is False and facts["model_id"] == "sdaug-nano" and facts["dtype"] == "float32"


def test_generate_single_angle(nano, nano_record, astronaut, astronaut_bgr):
    (image,) = nano.generate_angles(astronaut_bgr, num_angles=1)
    assert image.shape == (512, 512, 3) and image.dtype == np.uint8
    kept = nano_record.angles[0].image
    # Made alone it differs by rounding from itself made among five.
    assert np.abs(image.astype(int) - kept[..., ::-1]).max() <= 2 < np.abs(image.astype(int) - kept).max()
    # the record's picture is RGB: its colours are those of the photo, whose suit is orange
    assert (
        kept[..., 0].mean() > kept[..., 2].mean() and astronaut.pixels[..., 0].mean() > astronaut.pixels[..., 2].mean()
    )


def test_generate_all_angles(warp, warp_record, astronaut_bgr):
    assert [angle.requested for angle in warp_record.angles] == list(ANGLES)
    images = warp.generate_angles(astronaut_bgr, num_angles=10)
    assert len(images) == len(warp_record.accepted) >= 8
    for image, angle in zip(images, warp_record.accepted, strict=True):
        assert np.array_equal(image, angle.image[..., ::-1])
    assert len({image.tobytes() for image in images}) == len(images), "angles must be distinct"
    few = warp.generate_angles(astronaut_bgr)
    assert len(few) == sum(angle.accepted for angle in warp_record.angles[:5])
    assert all(np.array_equal(a, b) for a, b in zip(few, images, strict=False))


def test_quality_assessment(warp, warp_record, astronaut, astronaut_bgr):
    weakest = min(score.scalar for score in warp_record.source["quality"].values())
    assert warp.assess_quality(astronaut_bgr) == weakest > 0.7
    assert warp.assess_quality(astronaut.pixels) != weakest, "the channel order must matter to the detector"
    dark = (astronaut_bgr * 0.3).astype(np.uint8)
    assert 0 <= warp.assess_quality(dark) < 0.7
    assert warp.assess_quality(np.full((600, 600, 3), 90, np.uint8)) == 0.0


def test_memory_cleanup(astronaut_bgr):
    augmentor = GenerativeAugmentor(NANO, device="cpu", settings=settings(generation={"num_inference_steps": 1}))
    assert augmentor.load() > 0
    unet = weakref.ref(augmentor._diffusion().generator.pipeline.unet)
    mesh = weakref.ref(augmentor.pack.mesh)
    augmentor.cleanup()
    gc.collect()
    assert unet() is None and mesh() is None
    augmentor.cleanup()
    assert len(augmentor.generate_angles(astronaut_bgr, num_angles=1)) == 1
    augmentor.cleanup()


# -- what is refused


@pytest.mark.parametrize("wrong", [0, 11, -1, True, 2.0, "3"])
def test_num_angles_is_a_whole_number_from_1_to_10(warp, astronaut_bgr, wrong):
    with pytest.raises(ValueError, match=f"num_angles must be .*got {wrong!r}"):
        warp.generate_angles(astronaut_bgr, num_angles=wrong)


def test_no_face_and_two_faces_are_value_errors(warp, two):
    with pytest.raises(ValueError, match="no face") as none:
        warp.generate_angles(np.full((512, 512, 3), 90, np.uint8))
    assert none.value.reason is Reason.NO_FACE
    with pytest.raises(ValueError, match="2 faces were found.*0: x .*1: x ") as several:
        warp.generate_angles(np.ascontiguousarray(two[..., ::-1]))
    assert several.value.reason is Reason.MULTIPLE_FACES


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((64, 64), np.uint8), ValueError),
        (np.zeros((64, 64, 4), np.uint8), ValueError),
        (np.zeros((64, 64, 3), np.float32), ValueError),
        (np.zeros((0, 64, 3), np.uint8), ValueError),
        ([[0, 0, 0]], TypeError),
        (None, TypeError),
    ],
)
def test_anything_but_uint8_pixels_is_refused(warp, image, error):
    with pytest.raises(error, match="image must be"):
        warp.generate_angles(image)
    with pytest.raises(error, match="image must be"):
        warp.assess_quality(image)


def test_a_face_can_be_chosen(warp, two):
    def box(which):
        return warp.augment(photo_from_array(two), face=which, num_angles=1).source["face_box"]

    assert box(0)[2] < 512 < box(1)[0]
    assert box("largest") == box(0)
    mirrored = photo_from_array(np.ascontiguousarray(two[:, ::-1]))
    assert warp.augment(mirrored, face="largest", num_angles=1).source["face_box"][0] > 384
    with pytest.raises(PhotoError, match="face 2 does not exist.*0 to 1"):
        box(2)
    with pytest.raises(ValueError, match="'largest', got 'biggest'"):
        box("biggest")


def test_a_source_that_cannot_be_turned_is_refused(astronaut, views):
    picky = GenerativeAugmentor(settings=settings(backend="warp", min_source_face_px=120))
    with pytest.raises(PhotoError, match="120 px") as small:
        picky.augment(astronaut)
    assert small.value.reason is Reason.FACE_TOO_SMALL
    picky.configure(min_source_face_px=60)
    with pytest.raises(PhotoError, match="turned by .*35") as turned:
        picky.augment(photo_from_array(views[1].image))
    assert turned.value.reason is Reason.EXTREME_POSE
    picky.cleanup()


def test_nothing_accepted_is_a_runtime_error_with_the_reasons(astronaut_bgr):
    strict = GenerativeAugmentor(settings=settings(backend="warp", gate={"min_similarity": {"dlib_resnet": 1.01}}))
    with pytest.raises(RuntimeError, match="none of 2 angles was accepted: low_similarity"):
        strict.generate_angles(astronaut_bgr, num_angles=2)
    strict.cleanup()


# -- what is degraded


def test_noise_is_refused_and_the_warp_answers_in_its_place(random_record, warp_record):
    angle, warped = random_record.angles[0], warp_record.angles[0]
    assert angle.rung == "warp" and np.array_equal(angle.image, warped.image)
    assert angle.degraded and not angle.raw.judgement.accepted
    assert not np.array_equal(angle.raw.image, angle.image)
    assert set(angle.raw.similarity) == {"dlib_resnet"}
    assert angle.raw.similarity["dlib_resnet"] < warped.judgement.similarity["dlib_resnet"] - 0.1
    assert warped.raw is None and warped.degraded == ()


@pytest.mark.parametrize("model_id", ["./no/such/folder", "nobody/no-such-model"])
def test_missing_weights_degrade_to_the_warp(model_id, astronaut, warp_record, monkeypatch, caplog):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    augmentor = GenerativeAugmentor(model_id, device="cpu")
    with caplog.at_level(logging.WARNING, "sdaug"):
        record = augmentor.augment(astronaut, num_angles=1)
        augmentor.augment(astronaut, num_angles=1)
    assert len([r for r in caplog.records if "no diffusion (weights_missing)" in r.message]) == 1, "warned once"
    (angle,) = record.angles
    assert (angle.rung, angle.degraded, angle.raw) == ("warp", (Reason.WEIGHTS_MISSING,), None)
    assert np.array_equal(angle.image, warp_record.angles[0].image)
    assert record.generator["model"]["loaded"] is False and model_id in record.generator["model"]["why_not"]

    augmentor.configure(strict=True)
    augmentor.cleanup()
    with pytest.raises(WeightsMissing, match=model_id.strip("./")):
        augmentor.augment(astronaut, num_angles=1)
    augmentor.cleanup()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), Reason.OUT_OF_MEMORY),
        (RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED"), Reason.OUT_OF_MEMORY),
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (RuntimeError("expected scalar type Half but found Float"), None),
    ],
)
def test_out_of_memory_degrades_and_any_other_error_is_not_hidden(random_model, astronaut, monkeypatch, error, reason):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(DiffusionGenerator, "generate", fail)
    if reason is None:
        with pytest.raises(RuntimeError, match="scalar type Half"):
            random_model.augment(astronaut, num_angles=1)
    else:
        (angle,) = random_model.augment(astronaut, num_angles=1).angles
        assert (angle.rung, angle.degraded, angle.raw) == ("warp", (reason,), None)


# -- settings


def test_configure_replaces_parts_and_frees_only_what_depends_on_them():
    augmentor = GenerativeAugmentor(NANO, device="cpu")
    augmentor.load()
    generator, pack = augmentor._diffusion().generator, augmentor.pack
    augmentor.configure(generation={"num_inference_steps": 3})
    assert augmentor.settings.generation.num_inference_steps == 3 and augmentor.settings.generation.strength == 0.3
    assert augmentor._diffusion().generator is generator and augmentor.pack is pack
    with pytest.raises(ValueError, match="num_inference_stepps"):
        augmentor.configure(generation={"num_inference_stepps": 3})
    assert augmentor.settings.generation.num_inference_steps == 3
    augmentor.configure(levers={"precision": {"dtype": "bfloat16"}})
    assert generator.pipeline.unet is None, "the old model is freed"
    assert augmentor._diffusion().generator.facts["dtype"] == "bfloat16"
    assert augmentor.pack is pack
    augmentor.cleanup()


def test_settings_given_per_call_do_not_stay(warp, astronaut):
    assert len(warp.augment(astronaut, num_angles=2).angles) == 2
    assert warp.settings.generation.num_angles == 5
    with pytest.raises(ValueError, match="seed must be a whole number"):
        warp.augment(astronaut, seed=True)


def test_progress_counts_every_angle(warp, astronaut):
    seen = []
    warp.augment(astronaut, num_angles=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("strict", [False, True])
def test_memory_that_runs_out_while_loading_degrades_or_is_raised(astronaut, monkeypatch, strict):
    import sdaug.diffusion.load as diffusion

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(diffusion, "load_generator", fail)
    augmentor = GenerativeAugmentor(NANO, device="cpu", settings=RunSettings(strict=strict))
    if strict:
        with pytest.raises(torch.OutOfMemoryError):
            augmentor.augment(astronaut, num_angles=1)
    else:
        (angle,) = augmentor.augment(astronaut, num_angles=1).angles
        assert (angle.rung, angle.degraded) == ("warp", (Reason.OUT_OF_MEMORY,))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_the_defaults_run_in_float32_and_say_once_why_diffusion_was_left(astronaut, caplog):
    """`use_fp16` is the mission's default; half precision on a CPU would be ten times slower."""
    settings = RunSettings.model_validate({"generation": {"num_inference_steps": 2, "strength": 0.5}})
    augmentor = GenerativeAugmentor("random", settings=settings)
    with caplog.at_level("WARNING", "sdaug"):
        record = augmentor.augment(astronaut, num_angles=2)
    augmentor.cleanup()
    facts = record.generator["model"]
    assert (facts["device"], facts["dtype"], facts["degraded"]) == ("cpu", "float32", ["no_gpu"])
    left = [r.getMessage() for r in caplog.records if "left diffusion" in r.getMessage()]
    assert left == ["2 of 2 angles left diffusion: random_weights (the weights are random: its pictures are noise)"]
