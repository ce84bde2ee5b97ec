"""The small model that comes with the package: found by name, checked at load, true Stable Diffusion, and of use."""

import json
import shutil

import numpy as np
import pytest

from sdaug.augmentor import GenerativeAugmentor
from sdaug.bench.pipeline import any_job
from sdaug.config import NANO, FaceIdSettings, GenerationSettings, ModelSettings, RunSettings
from sdaug.diffusion.components import WeightsInvalid
from sdaug.diffusion.hub import SHIPPED, find_folder
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.strength import kept

FOLDER = SHIPPED / NANO
MODEL = ModelSettings(model_id=NANO, device="cpu")


def test_its_name_finds_it_whatever_else_has_that_name(tmp_path, monkeypatch):
    (tmp_path / NANO).mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_folder(NANO, None, []) == FOLDER


def test_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 12_000_000


def test_its_sums_cover_every_file_that_is_read():
    listed = {line.split("  ")[1] for line in (FOLDER / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert listed == there - {"SHA256SUMS", "README.md"}


@pytest.mark.parametrize("part", ["unet", "controlnet", "vae", "tiny_vae", "text_encoder"])
def test_one_changed_byte_is_refused_by_name(tmp_path, part):
    copy = shutil.copytree(FOLDER, tmp_path / "copy")
    (path,) = (copy / part).glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsInvalid, match=f"{part}.*has changed: its sha256 is .* expected by SHA256SUMS"):
        load_generator(ModelSettings(model_id=str(copy), device="cpu"), {})


@pytest.mark.parametrize(
    ("line", "message"),
    [("0" * 64 + "  absent.json", "absent.json is missing; SHA256SUMS lists it"), ("nonsense", "line 1: a sha256")],
)
def test_sums_that_do_not_fit_the_folder_are_refused(tmp_path, line, message):
    (tmp_path / "SHA256SUMS").write_text(line + "\n")
    with pytest.raises(WeightsInvalid, match=message):
        find_folder(str(tmp_path), None, [])


def test_models_verify_reads_its_sums(sdaug):
    done = sdaug("models", "verify", NANO)
    assert done.code == 0 and "as recorded" in done.out
    listed = sdaug("models", "list", "--json")
    (entry,) = [model for model in json.loads(listed.out)["models"] if model["name"] == NANO]
    assert entry["here"] == str(FOLDER) and entry["licence"] == "apache-2.0"
    pulled = sdaug("models", "pull", NANO)
    assert pulled.code == 1 and "comes with this package" in pulled.err


def test_diffusers_own_pipeline_reads_it():
    from diffusers import StableDiffusionControlNetImg2ImgPipeline

    pipe = StableDiffusionControlNetImg2ImgPipeline.from_pretrained(FOLDER, local_files_only=True)
    names = [type(pipe.components[name]).__name__ for name in ("unet", "controlnet", "vae", "text_encoder")]
    assert names == ["UNet2DConditionModel", "ControlNetModel", "AutoencoderKL", "CLIPTextModel"]


def test_a_record_names_its_parts():
    facts = load_generator(MODEL, {}).facts
    assert facts["model_id"] == facts["controlnet_id"] == NANO and facts["random"] is False
    assert {"unet", "controlnet", "vae", "text_encoder"} <= facts["sha256"].keys()


def test_its_own_tiny_vae_stands_in():
    pipeline = load_generator(MODEL, {"tiny_vae": {}}).pipeline
    assert type(pipeline.vae).__name__ == "AutoencoderTiny" and pipeline.vae.config.latent_channels == 16


def test_a_tiny_vae_for_other_latents_is_refused(tmp_path):
    import importlib

    blocks = dict(encoder_block_out_channels=(4,) * 4, decoder_block_out_channels=(4,) * 4)
    blocks |= dict(num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4)
    importlib.import_module("diffusers").AutoencoderTiny(**blocks).save_pretrained(tmp_path)
    with pytest.raises(WeightsInvalid, match="latent_channels is 4; 16 expected"):
        load_generator(MODEL, {"tiny_vae": {"vae_id": str(tmp_path)}})


# -- what it makes


def test_diffusion_makes_the_first_five_angles_of_the_astronaut(nano_record, views):
    rungs = [angle.rung for angle in nano_record.angles]
    assert rungs.count("diffusion") >= 4, rungs
    for angle, view in zip(nano_record.angles, views, strict=False):
        if angle.rung == "diffusion" and view.hole.any():
            changed = np.abs(angle.image.astype(int) - view.image)[view.hole].max(-1)
            assert (1 - kept(view.valid))[view.hole].mean() > 0.95 and (changed > 0).mean() > 0.9


def test_the_raw_picture_is_the_person_too(nano_record):
    for angle in nano_record.angles:
        assert angle.raw.similarity["dlib_resnet"] > -0.1, f"raw picture at {angle.requested} is a stranger"


def test_bfloat16_is_the_same_person(nano, astronaut):
    """One small picture: a processor without instructions for bfloat16 takes minutes for five whole ones."""
    small = nano.settings.generation.model_copy(update={"size": 256, "num_inference_steps": 2})

    def made(dtype):
        settings = {"levers": {"precision": {"dtype": dtype}}, "generation": small}
        (angle,) = (
            GenerativeAugmentor(settings=nano.settings.model_copy(update=settings))
            .augment(astronaut, num_angles=1)
            .angles
        )
        return [getattr(angle, of).similarity["dlib_resnet"] for of in ("raw", "judgement")]

    fine, coarse = made("float32"), made("bfloat16")
    assert coarse == pytest.approx(fine, abs=0.01) and coarse != fine


def test_a_higher_strength_leaves_less_of_the_person(nano, nano_record, astronaut):
    settings = nano.settings.model_dump()
    settings["generation"] |= {"strength": 0.9}
    bold = GenerativeAugmentor(settings=RunSettings.model_validate(settings)).augment(astronaut, num_angles=1)
    at_03, at_09 = (r.angles[0].raw.similarity["dlib_resnet"] for r in (nano_record, bold))
    assert at_09 < at_03 - 0.05


def test_its_face_adapter_is_read_by_the_code_that_reads_any_and_a_vector_reaches_the_picture():
    adapter = FaceIdSettings(
        adapter_id=NANO, weight_name="face_id.safetensors", recogniser="dlib_resnet", scale=1.0, lora_scale=1.0
    )
    model = MODEL.model_copy(update={"face_id": adapter})
    generator = load_generator(model, {})
    try:
        assert generator.adapters.embedding_dim == 128
        assert generator.facts["adapters"]["face_id"]["file"] == "face_id.safetensors"
        job, settings = any_job(256, 0), GenerationSettings(num_inference_steps=2, hole_strength=0.9, size=256)
        vectors = np.random.default_rng(0).standard_normal((2, 128)).astype(np.float32)
        pictures = []
        for vector in (*vectors, vectors[0]):
            identity = generator.identity(vector / np.linalg.norm(vector))
            (made,) = generator.generate([job], settings, identity=identity)
            pictures.append(made.diffused.astype(int))
        assert np.array_equal(pictures[0], pictures[2]), "the same vector, the same picture"
        assert np.abs(pictures[0] - pictures[1]).max() >= 1, "another vector, another picture"
    finally:
        generator.close()
