"""Face adapters and few-step LoRAs in files of the published layout, made here for the small UNet."""

import importlib
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import FaceIdSettings, GenerationSettings, LoraSettings, ModelSettings, RunSettings
from sdaug.diffusion.adapters import Adapters, find_adapters, load_adapters
from sdaug.diffusion.components import WeightsInvalid, WeightsMissing
from sdaug.diffusion.face_id import check_layout
from sdaug.diffusion.generator import Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.lora import FEW_STEP, read_layers
from sdaug.diffusion.random_model import random_components
from sdaug.diffusion.schedulers import SCHEDULERS
from sdaug.levers import LeverSkipped
from sdaug.types import Pose, View

DIM = 512
SCALES = dict(scale=0.6, lora_scale=0.7)
LORA_LAYERS = (
    "to_q", "to_k", "to_v", "to_out_0", "proj_in", "proj_out", "ff_net_0_proj", "ff_net_2", "conv1", "conv2",
    "conv_shortcut", "downsamplers_0_conv", "upsamplers_0_conv", "time_emb_proj",
)  # fmt: skip
"""The layers that the LCM-LoRA of Stable Diffusion 1.5 changes, by the ends of their names."""


def face_id_tensors(unet, rank: int = 4, dim: int = DIM) -> dict[str, dict[str, torch.Tensor]]:
    """As `ip-adapter-faceid_sd15.bin` holds them: nested, float16, numbered as the UNet's attentions are."""
    make = torch.Generator().manual_seed(5)
    width = unet.config.cross_attention_dim

    def random(*shape):
        if unet.device.type == "meta":
            return torch.empty(shape, dtype=torch.float16, device="meta")
        return (torch.randn(shape, generator=make) / shape[-1] ** 0.5).half()

    image_proj = {
        "proj.0.weight": random(2 * dim, dim),
        "proj.0.bias": random(2 * dim),
        "proj.2.weight": random(4 * width, 2 * dim),
        "proj.2.bias": random(4 * width),
        "norm.weight": 1 + random(width),
        "norm.bias": random(width),
    }
    ip_adapter = {}
    for i, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("q", "k", "v", "out"):
            layer = attention.to_out[0] if part == "out" else getattr(attention, f"to_{part}")
            ip_adapter[f"{i}.to_{part}_lora.down.weight"] = random(rank, layer.in_features)
            ip_adapter[f"{i}.to_{part}_lora.up.weight"] = random(layer.out_features, rank)
        if i % 2:
            ip_adapter[f"{i}.to_k_ip.weight"] = random(attention.to_k.out_features, width)
            ip_adapter[f"{i}.to_v_ip.weight"] = random(attention.to_k.out_features, width)
    return {"image_proj": image_proj, "ip_adapter": ip_adapter}


def flat(nested) -> dict[str, torch.Tensor]:
    return {f"{part}.{name}": tensor for part, tensors in nested.items() for name, tensor in tensors.items()}


def lora_layers(unet):
    """(kohya's name, layer) of every layer that a few-step LoRA changes."""
    for name, layer in unet.named_modules():
        kohya = "lora_unet_" + name.replace(".", "_")
        if kohya.endswith(LORA_LAYERS) and hasattr(layer, "weight"):
            yield kohya, layer


def lora_tensors(unet, rank: int = 4, alphas: tuple[float, ...] = (2.0,)) -> dict[str, torch.Tensor]:
    """As `lcm-lora-sdv1-5` holds them: kohya's names, float16, an alpha for each layer, here by turns of `alphas`."""
    make = torch.Generator().manual_seed(6)

    def random(*shape):
        if unet.device.type == "meta":
            return torch.empty(shape, dtype=torch.float16, device="meta")
        return torch.randn(shape, generator=make).half() / 8

    tensors = {}
    for i, (kohya, layer) in enumerate(lora_layers(unet)):
        outputs, inputs, *kernel = layer.weight.shape
        ones = [1] * len(kernel)
        tensors[f"{kohya}.lora_down.weight"] = random(rank, inputs, *kernel)
        tensors[f"{kohya}.lora_up.weight"] = random(outputs, rank, *ones)
        tensors[f"{kohya}.alpha"] = torch.tensor(alphas[i % len(alphas)]).half()
    return tensors


@pytest.fixture(scope="module")
def unet():
    return random_components().unet


@pytest.fixture(scope="module")
def folder(unet, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    torch.save(face_id_tensors(unet), folder / "ip-adapter-faceid_sd15.bin")
    save_file(flat(face_id_tensors(unet)), folder / "faceid.safetensors")
    save_file(lora_tensors(unet), folder / "pytorch_lora_weights.safetensors")
    return folder


def asked(folder, face: dict | None = None, lora: dict | None = None) -> ModelSettings:
    return ModelSettings(
        model_id="random",
        device="cpu",
        face_id=None if face is None else FaceIdSettings(adapter_id=str(folder / "faceid.safetensors"), **face),
        lora=None if lora is None else LoraSettings(kind="lcm", lora_id=str(folder), **lora),
    )


def person(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def adapted(settings: ModelSettings):
    parts = random_components()
    return parts, load_adapters(parts, settings)


@torch.no_grad()
def predict(parts, added=None, guided: bool = False, batch: int = 1) -> torch.Tensor:
    """The UNet's noise prediction for fixed latents."""
    make = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, 4, 16, 16, generator=make)
    prompts = parts.prompt_embeds.repeat(batch, 1, 1)
    if guided:
        latents, prompts = (
            latents.repeat(2, 1, 1, 1),
            torch.cat([parts.negative_prompt_embeds.repeat(batch, 1, 1), prompts]),
        )
    return parts.unet(latents, 500, encoder_hidden_states=prompts, added_cond_kwargs=added, return_dict=False)[0]


def stock_pipe(parts):
    pipe = importlib.import_module("diffusers").StableDiffusionControlNetImg2ImgPipeline(
        vae=parts.vae, text_encoder=None, tokenizer=None, unet=parts.unet, controlnet=parts.controlnet,
        scheduler=parts.scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stock_unfused(folder, names: dict[str, float], scale: float):
    """The small model with the same files by diffusers alone, nothing fused, both adapters active."""
    parts = random_components()
    pipe = stock_pipe(parts)
    pipe.load_ip_adapter(
        str(folder), subfolder=None, weight_name="ip-adapter-faceid_sd15.bin", image_encoder_folder=None
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute", UserWarning)
        pipe.load_lora_weights(str(folder), weight_name="pytorch_lora_weights.safetensors", adapter_name="fast")
    pipe.set_adapters(list(names), list(names.values()))
    pipe.set_ip_adapter_scale(scale)
    return parts, pipe


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max())


CPU = (torch.float32, "cpu")


# -- what it does


def test_both_adapters_fused_equal_diffusers_own_unfused_ones(folder):
    ours, adapters = adapted(asked(folder, SCALES, dict(scale=0.9)))
    theirs, _ = stock_unfused(folder, {"faceid_0": 0.7, "fast": 0.9}, 0.6)
    for guided in (False, True):
        added = adapters.identity(person(1), *CPU)(2, guided)
        assert difference(predict(ours, added, guided, 2), predict(theirs, added, guided, 2)) <= 1e-4
    plain = predict(random_components())
    assert difference(predict(ours, adapters.identity(person(1), *CPU)(1, False)), plain) > 0.05


def test_nothing_of_peft_stays_in_the_unet(folder, unet):
    ours, _ = adapted(asked(folder, SCALES, {}))
    kinds = {type(module).__module__.split(".")[0] for module in ours.unet.modules()}
    assert kinds == {"torch", "diffusers"}
    assert set(unet.state_dict()) <= set(ours.unet.state_dict())
    assert not hasattr(ours.unet, "peft_config")


def test_all_scales_at_zero_change_nothing(folder):
    ours, adapters = adapted(asked(folder, dict(scale=0, lora_scale=0), dict(scale=0)))
    added = adapters.identity(person(1), *CPU)(1, False)
    assert difference(predict(ours, added), predict(random_components())) <= 1e-5


@pytest.mark.parametrize("face, lora", [(SCALES, None), (dict(scale=0, lora_scale=0.7), None), (None, {})])
def test_each_part_alone_changes_the_prediction(folder, face, lora):
    ours, adapters = adapted(asked(folder, face, lora))
    added = adapters.identity(person(1), *CPU)(1, False) if face else None
    assert difference(predict(ours, added), predict(random_components())) > 0.01


def test_two_people_differ_by_the_face_attention_alone(folder):
    ours, adapters = adapted(asked(folder, SCALES))
    one, two = (predict(ours, adapters.identity(person(i), *CPU)(1, False)) for i in (1, 2))
    assert difference(one, two) > 0.01
    ours, adapters = adapted(asked(folder, dict(scale=0, lora_scale=0.7)))
    one, two = (predict(ours, adapters.identity(person(i), *CPU)(1, False)) for i in (1, 2))
    assert difference(one, two) == 0


def test_every_layer_of_a_lora_gets_its_own_alpha_and_nothing_else_changes(tmp_path):
    plain = random_components()
    tensors = lora_tensors(plain.unet, alphas=(1.0, 2.0, 4.0, 5.0, 8.0))
    save_file(tensors, tmp_path / "pytorch_lora_weights.safetensors")
    ours, _ = adapted(asked(tmp_path, lora=dict(scale=0.5)))
    changed = dict(lora_layers(plain.unet))
    for (kohya, layer), (_, ours_layer) in zip(changed.items(), lora_layers(ours.unet), strict=True):
        down, up, alpha = (
            tensors[f"{kohya}.{part}"].float() for part in ("lora_down.weight", "lora_up.weight", "alpha")
        )
        product = (up.flatten(1) @ down.flatten(1)).reshape(layer.weight.shape)
        expected = layer.weight + 0.5 * alpha / len(down) * product
        assert difference(ours_layer.weight, expected) <= 1e-6, kohya
        assert difference(ours_layer.weight, layer.weight) > 1e-3, kohya
    names = {f"{name}.weight" for name, layer in plain.unet.named_modules() if layer in set(changed.values())}
    for name, tensor in plain.unet.state_dict().items():
        assert name in names or torch.equal(tensor, ours.unet.state_dict()[name]), name


def test_a_layer_without_an_alpha_gets_the_factor_one(unet, tmp_path):
    tensors = lora_tensors(unet, rank=4)
    layer = next(iter(dict(lora_layers(unet))))
    del tensors[f"{layer}.alpha"]
    save_file(tensors, tmp_path / "pytorch_lora_weights.safetensors")
    plain, (ours, _) = random_components(), adapted(asked(tmp_path, lora={}))
    before, after = (dict(lora_layers(parts.unet))[layer].weight for parts in (plain, ours))
    product = tensors[f"{layer}.lora_up.weight"].float().flatten(1) @ tensors[
        f"{layer}.lora_down.weight"
    ].float().flatten(1)
    assert difference(after, before + product.reshape(before.shape)) <= 1e-6


def test_diffusers_names_are_read_like_kohyas(unet, tmp_path):
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    layer = unet.get_submodule(name)
    down, up = torch.randn(2, layer.in_features), torch.randn(layer.out_features, 2)
    save_file({f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}, tmp_path / "a.safetensors")
    settings = ModelSettings(
        model_id="random", lora=LoraSettings(kind="hyper_sd_4_steps", lora_id=str(tmp_path / "a.safetensors"))
    )
    ours, _ = adapted(settings)
    assert difference(ours.unet.get_submodule(name).weight, layer.weight + up @ down) <= 1e-5


def test_the_whole_stock_pipeline_gives_the_same_latents(folder):
    """With the embedding as diffusers documents it: [zeros, face] under guidance, the face alone without."""
    ours, adapters = adapted(asked(folder, SCALES, {}))
    theirs, pipe = stock_unfused(folder, {"faceid_0": 0.7, "fast": 1.0}, 0.6)
    face = torch.as_tensor(person(1))[None, None, None]
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    for guidance in (1.0, 3.0):
        common = dict(
            image=picture, control_image=picture, strength=0.9, num_inference_steps=3, guidance_scale=guidance,
            prompt_embeds=theirs.prompt_embeds, negative_prompt_embeds=theirs.negative_prompt_embeds,
            output_type="latent",
        )  # fmt: skip
        added = adapters.identity(person(1), *CPU)(1, guidance > 1)["image_embeds"]
        a = stock_pipe(ours)(ip_adapter_image_embeds=added, generator=torch.Generator().manual_seed(0), **common).images
        embeds = torch.cat([torch.zeros_like(face), face]) if guidance > 1 else face
        b = pipe(ip_adapter_image_embeds=[embeds], generator=torch.Generator().manual_seed(0), **common).images
        assert difference(a, b) <= 1e-4


# -- the embedding


def test_guidance_off_takes_the_face_alone_and_guided_takes_zeros_first(folder):
    _, adapters = adapted(asked(folder, SCALES))
    identity = adapters.identity(person(1), torch.float16, "cpu")
    (alone,) = identity(3, False)["image_embeds"]
    (pair,) = identity(3, True)["image_embeds"]
    assert alone.shape == (3, 1, 1, DIM) and pair.shape == (6, 1, 1, DIM) and pair.dtype == torch.float16
    assert not pair[:3].any() and torch.equal(pair[3:], alone)
    assert torch.equal(alone[0, 0, 0], torch.as_tensor(person(1)).half())


@pytest.mark.parametrize(
    "embedding, message",
    [
        (np.ones(128, np.float32), r"\(128,\).*faceid.safetensors.*\(512,\)"),
        (person(1) * 20, "length 20"),
        (np.full(DIM, np.nan, np.float32), "length nan"),
    ],
)
def test_an_embedding_that_is_not_arcfaces_is_refused(folder, embedding, message):
    _, adapters = adapted(asked(folder, SCALES))
    with pytest.raises(ValueError, match=message):
        adapters.identity(embedding, *CPU)


def test_an_embedding_without_a_face_adapter_is_refused():
    with pytest.raises(ValueError, match="no face adapter is loaded"):
        Adapters().identity(person(1), *CPU)


# -- what is recorded


def test_facts_name_file_digest_scales_and_what_the_lora_wants(folder):
    _, adapters = adapted(asked(folder, SCALES, {}))
    face, lora = adapters.facts["face_id"], adapters.facts["lora"]
    assert face["file"] == "faceid.safetensors" and len(face["sha256"]) == 64 and face["embedding_dim"] == DIM
    assert face["scale"] == 0.6 and face["lora_scale"] == 0.7 and face["fused"] and face["revision"] is None
    assert lora["scheduler"] == "lcm" and lora["guidance_scale"] == 1.0 and lora["sha256"] != face["sha256"]
    assert adapters.call == {"scheduler": "lcm", "guidance_scale": 1.0}


def test_a_cfg_preserving_lora_leaves_guidance_to_the_call(folder):
    lora = LoraSettings(kind="hyper_sd_8_steps_cfg", lora_id=str(folder / "pytorch_lora_weights.safetensors"))
    _, adapters = adapted(ModelSettings(model_id="random", lora=lora))
    assert adapters.call == {"scheduler": "ddim_trailing"} and adapters.facts["lora"]["guidance_scale"] == 5.0


def test_float16_weights_are_the_float32_sum_rounded_once(folder):
    parts, plain = random_components(), random_components()
    tensors = lora_tensors(parts.unet)
    parts.unet.half(), plain.unet.half()
    load_adapters(parts, asked(folder, lora={}))
    for (name, ours), (_, layer) in zip(lora_layers(parts.unet), lora_layers(plain.unet), strict=True):
        down, up = (tensors[f"{name}.lora_{side}.weight"].float().flatten(1) for side in ("down", "up"))
        expected = layer.weight.float() + 0.5 * (up @ down).reshape(layer.weight.shape)
        assert torch.equal(ours.weight, expected.half()), name


def test_nothing_is_warned_of(folder, caplog, capfd):
    adapted(asked(folder, SCALES, {}))
    assert not caplog.records and not capfd.readouterr().err
    assert not logging.getLogger("diffusers.loaders.ip_adapter").disabled


# -- through the generator


def job(index: int = 0, side: int = 64) -> Job:
    picture = np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)
    none = np.zeros((side, side), bool)
    view = View(Pose(0, 0), picture, np.zeros((side, side), np.float32), none, np.zeros((478, 3), np.float32))
    return Job(index, view, 255 - picture)


SETTINGS = GenerationSettings(num_inference_steps=2, strength=0.9, size=64, guidance_scale=3.0)


def made(generator, identity=None, jobs=1, settings=SETTINGS) -> list[np.ndarray]:
    return [g.diffused for g in generator.generate([job(i) for i in range(jobs)], settings, identity=identity)]


def test_a_generator_turns_towards_the_person_it_is_given(folder):
    generator = load_generator(asked(folder, dict(scale=2.0, lora_scale=1.0)), {})
    one, two = (made(generator, generator.identity(person(i)), jobs=2) for i in (1, 2))
    assert all((a != b).mean() > 0.1 for a, b in zip(one, two, strict=True))
    assert np.array_equal(one[1], made(generator, generator.identity(person(1)), jobs=2)[1])
    with pytest.raises(ValueError, match="wants a face embedding at every call"):
        made(generator)
    generator.close()


def test_a_generator_without_a_face_adapter_refuses_a_person(folder):
    generator = load_generator(asked(folder), {})
    with pytest.raises(ValueError, match="no face adapter"):
        generator.identity(person(1))
    with pytest.raises(ValueError, match="has no face adapter"):
        made(generator, identity=lambda batch, guided: {})
    generator.close()


def test_a_few_step_lora_holds_scheduler_and_guidance_and_is_recorded(folder):
    generator = load_generator(asked(folder, lora={}), {})
    held = generator.settings_for(SETTINGS)
    assert held.scheduler == "lcm" and held.guidance_scale == 1.0 and held.num_inference_steps == 2
    assert generator.facts["adapters"]["lora"]["kind"] == "lcm"
    assert json.loads(json.dumps(generator.facts["adapters"])) == generator.facts["adapters"]
    free = load_generator(asked(folder), {})
    lcm = SETTINGS.model_copy(update={"scheduler": "lcm", "guidance_scale": 1.0})
    assert (made(generator)[0] != made(free, settings=lcm)[0]).mean() > 0.1
    generator.close(), free.close()


def test_slicing_attention_is_skipped_where_it_would_drop_the_face(folder):
    with pytest.raises(LeverSkipped, match="face adapter"):
        load_generator(asked(folder, SCALES), {"attention_slicing": {"slice_size": 1}})
    load_generator(asked(folder, lora={}), {"attention_slicing": {"slice_size": 1}}).close()


def test_a_pack_whose_vectors_are_not_arcfaces_is_refused_in_the_settings(folder):
    model = asked(folder, SCALES)
    with pytest.raises(ValueError, match="a vector of 'arcface'.*'embedded' is 'dlib_resnet'.*buffalo_l"):
        RunSettings(model=model)
    RunSettings(model=model, pack="buffalo_l"), RunSettings(model=model, backend="warp")


def test_a_photo_is_steered_by_its_own_face(tmp_path, astronaut, arcface_folder, unet):
    """The whole product, with a face adapter for the pack's 128 values."""
    save_file(flat(face_id_tensors(unet, dim=128)), tmp_path / "faceid.safetensors")
    generation = GenerationSettings(num_angles=2, num_inference_steps=2, size=64)
    settings = RunSettings(
        model=asked(tmp_path, dict(scale=2.0, lora_scale=0)), pack=arcface_folder, generation=generation
    )
    augmentor = GenerativeAugmentor(settings=settings)
    records = [augmentor.augment(astronaut)]
    augmentor.configure(model=asked(tmp_path, dict(scale=0, lora_scale=0)).model_dump())
    records.append(augmentor.augment(astronaut))
    augmentor.cleanup()
    facts = records[0].generator["model"]["adapters"]["face_id"]
    assert facts["embedding_dim"] == 128 and facts["scale"] == 2.0
    steered, plain = (record.angles[1].raw.image for record in records)
    assert (steered != plain).mean() > 0.02


# -- the published files, by their sizes


@pytest.fixture(scope="module")
def full_size():
    with torch.device("meta"):
        return importlib.import_module("diffusers").UNet2DConditionModel(
            block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8
        )


def megabytes(tensors) -> float:
    return sum(tensor.numel() * 2 for tensor in tensors.values()) / 1e6


def test_files_made_as_above_at_full_size_are_as_large_as_the_published_ones(full_size):
    """ip-adapter-faceid_sd15.bin has 96.7 MB, its LoRA alone 51.1, lcm-lora-sdv1-5 134.6 (float16)."""
    face = flat(face_id_tensors(full_size, rank=128))
    assert check_layout(Path("face"), face, full_size) == 512
    assert megabytes(face) == pytest.approx(96.7, abs=0.1)
    assert megabytes({n: t for n, t in face.items() if "_lora." in n}) == pytest.approx(51.1, abs=0.1)
    few_step = lora_tensors(full_size, rank=64)
    assert len(read_layers(Path("lora"), few_step, full_size)) == len(few_step) / 3
    assert megabytes(few_step) == pytest.approx(134.6, abs=0.3)


# -- files that are none


@pytest.mark.parametrize("end", ["bin", "safetensors"])
def test_a_cut_short_file_is_damaged(folder, tmp_path, end):
    whole = (folder / "ip-adapter-faceid_sd15.bin" if end == "bin" else folder / "faceid.safetensors").read_bytes()
    path = tmp_path / f"cut.{end}"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    refused(
        ModelSettings(model_id="random", face_id=FaceIdSettings(adapter_id=str(path), allow_pickle=True)), "cut short"
    )


def test_a_pickle_is_read_only_where_allowed_and_gives_the_same(folder):
    settings = FaceIdSettings(adapter_id=str(folder))
    refused(ModelSettings(model_id="random", face_id=settings), "is a pickle.*allow_pickle")
    allowed, adapters = adapted(
        ModelSettings(model_id="random", face_id=FaceIdSettings(adapter_id=str(folder), allow_pickle=True, **SCALES))
    )
    safe, _ = adapted(asked(folder, SCALES))
    added = adapters.identity(person(1), *CPU)(1, False)
    assert torch.equal(predict(allowed, added), predict(safe, added))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path):
    torch.save({"image_proj": Evil(str(tmp_path / "ran"))}, tmp_path / "evil.bin")
    settings = FaceIdSettings(adapter_id=str(tmp_path / "evil.bin"), allow_pickle=True)
    refused(ModelSettings(model_id="random", face_id=settings), "more than tensors")
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_names_what_is_there(folder, tmp_path):
    settings = ModelSettings(model_id="random", lora=LoraSettings(kind="hyper_sd_4_steps", lora_id=str(folder)))
    with pytest.raises(WeightsMissing, match="Hyper-SD15-4steps.*there are: faceid.safetensors"):
        load_adapters(random_components(), settings)
    with pytest.raises(WeightsMissing, match="FaceID is neither a folder here nor whole in the hub's cache"):
        find_adapters(ModelSettings(face_id=FaceIdSettings()))


def test_a_missing_adapter_is_known_before_any_network_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("sdaug.diffusion.load.load_components", lambda *_: pytest.fail("networks were read"))
    settings = LoraSettings(kind="lcm", lora_id=str(tmp_path))
    with pytest.raises(WeightsMissing, match="there are: no files"):
        load_generator(ModelSettings(model_id="random", device="cpu", lora=settings), {})


def broken_face(unet, change) -> dict[str, torch.Tensor]:
    tensors = flat(face_id_tensors(unet))
    change(tensors)
    return tensors


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("ip_adapter.3.to_v_lora.up.weight"), "1 tensors are missing, .* ip_adapter.3.to_v_lora"),
        (lambda t: t.pop("image_proj.norm.bias"), "the first image_proj.norm.bias"),
        (lambda t: t.update({"ip_adapter.1.to_k_ip.weight": torch.ones(32, 48)}), r"\(32, 48\); \(32, 32\) expected"),
        (lambda t: t.update({"ip_adapter.99.to_k_ip.weight": torch.ones(1)}), "of no use here.*ip_adapter.99"),
        (lambda t: t.update({"image_proj.norm.bias": torch.full((32,), torch.nan)}), "norm.bias are finite"),
        (lambda t: t.update({"image_proj.perceiver_resampler.proj_in.weight": torch.ones(1)}), "FaceID-Plus"),
        (lambda t: t.clear() or t.update(a=torch.ones(1)), "is no IP-Adapter-FaceID"),
    ],
)  # fmt: skip
def test_a_face_adapter_of_another_layout_is_refused(unet, tmp_path, change, message):
    save_file(broken_face(unet, change), tmp_path / "faceid.safetensors")
    refused(asked(tmp_path, SCALES), message)


def test_adapters_for_another_cross_attention_size_are_refused(unet, full_size, tmp_path):
    larger = importlib.import_module("diffusers").UNet2DConditionModel.from_config(
        {**unet.config, "cross_attention_dim": 48}
    )
    save_file(flat(face_id_tensors(larger)), tmp_path / "faceid.safetensors")
    refused(asked(tmp_path, SCALES), r"image_proj.*\(48,\); \(32,\) expected")
    save_file(lora_tensors(larger), tmp_path / "pytorch_lora_weights.safetensors")
    refused(asked(tmp_path, lora={}), r"attn2.to_k down has shape \(4, 48\); \(4, 32\) expected")


@pytest.mark.parametrize(
    "tensors, message",
    [
        ({}, "no tensor"),
        ({"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(4, 8)}, "no layer of this UNet"),
        ({"lora_unet_conv_in.lora_down.weight": torch.ones(4, 4, 3, 3)}, "conv_in up"),
        ({"lora_unet_conv_in.alpha": torch.ones(())}, "conv_in down"),
        ({"unet.conv_norm_out.lora_A.weight": torch.ones(4, 16)}, "no layer of this UNet"),
    ],
)
def test_a_lora_of_another_layout_is_refused(tmp_path, tensors, message):
    save_file(tensors, tmp_path / "pytorch_lora_weights.safetensors")
    refused(asked(tmp_path, lora={}), message)


def refused(settings: ModelSettings, message: str) -> None:
    """`WeightsInvalid`, and the UNet is as it was."""
    parts = random_components()
    with pytest.raises(WeightsInvalid, match=message):
        load_adapters(parts, settings)
    before = random_components().unet.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in parts.unet.state_dict().items())


def test_a_file_that_is_refused_leaves_no_half_of_the_others(folder, tmp_path):
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(b"no")
    face = FaceIdSettings(adapter_id=str(folder / "faceid.safetensors"))
    refused(
        ModelSettings(model_id="random", face_id=face, lora=LoraSettings(kind="lcm", lora_id=str(tmp_path))),
        "cut short",
    )


def test_every_kind_names_a_scheduler_that_exists():
    assert {kind.scheduler for kind in FEW_STEP.values()} <= set(SCHEDULERS)
