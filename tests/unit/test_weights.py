"""Every way that weights can be good, damaged or absent."""

import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from sdaug.config import DEFAULT_CONTROLNET, PINNED_REVISIONS, GenerationSettings, ModelSettings
from sdaug.diffusion import weights
from sdaug.diffusion.generator import Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.prompts import prompt_embeds
from sdaug.diffusion.reading import read_tiny_vae, read_vae_encoder
from sdaug.diffusion.weights import WeightsInvalid, WeightsMissing, load_components, locate, random_components
from sdaug.measure import remembered
from sdaug.measure.cache import cache_folder
from sdaug.measure.digest import file_sha256
from sdaug.types import Pose, Reason, View

UNET = "unet/diffusion_pytorch_model.safetensors"


def load(folder: Path, **settings) -> weights.Components:
    return load_components(ModelSettings(model_id=str(folder), device="cpu", **settings))


def edit_config(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# -- random


def test_random_components_are_seeded_small_and_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    first = random_components(seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again, other = random_components(seed=0), random_components(seed=1)
    assert first.digests == again.digests
    assert torch.equal(first.prompt_embeds, again.prompt_embeds)
    assert all(first.digests[name] != other.digests[name] for name in ("unet", "controlnet", "vae"))
    networks = (first.unet, first.controlnet, first.vae)
    assert sum(p.numel() for network in networks for p in network.parameters()) < 500_000


def test_the_random_controlnet_is_not_the_zero_function_an_untrained_one_is():
    parts = random_components()
    latents, black = torch.ones(1, 4, 8, 8), torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        outputs = [
            parts.controlnet(latents, 500, parts.prompt_embeds, image).mid_block_res_sample
            for image in (black, black + 1)
        ]
    assert (outputs[0] - outputs[1]).abs().mean() > 0.01 * outputs[0].abs().mean() > 0


# -- a good folder


def test_a_folder_loads_exactly_what_was_saved(folder):
    parts, random = load(folder), random_components()
    for name in ("unet", "controlnet", "vae"):
        expected = getattr(random, name).state_dict()
        found = getattr(parts, name).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), name
    assert not parts.random and parts.prompt_embeds is None
    assert type(parts.scheduler).__name__ == "DDIMScheduler"
    assert parts.scheduler.config.timestep_spacing == "trailing"
    assert set(parts.digests) == {"unet", "controlnet", "vae", "text_encoder"}


def test_a_folder_generates_without_a_text_encoder_in_memory(folder):
    generator = load_generator(ModelSettings(model_id=str(folder), device="cpu"), {})
    facts = generator.facts
    assert facts["random"] is False and facts["reasons"] == [] and facts["pickled"] == []
    assert facts["revision"] is None and facts["safety_checker"] == "off"
    assert set(facts["parameters"]) == {"vae", "hint", "controlnet", "unet"}
    assert generator.prompt_embeds.shape == (1, 77, 32)
    assert not torch.equal(generator.prompt_embeds, generator.negative_prompt_embeds)
    seen, none = np.full((64, 64, 3), 128, np.uint8), np.zeros((64, 64), bool)
    view = View(Pose(0, 0), seen, none.astype(np.float32), none, np.zeros((478, 3), np.float32))
    settings = GenerationSettings(num_inference_steps=2, strength=1.0, guidance_scale=3.0, size=64)
    (made,) = generator.generate([Job(0, view, seen)], settings)
    assert made.image.shape == (64, 64, 3) and made.image.std() > 5
    generator.close()


def test_digests_are_those_of_the_files(folder):
    import hashlib

    assert load(folder).digests["unet"] == hashlib.sha256((folder / UNET).read_bytes()).hexdigest()


def test_half_precision_files_are_read_as_float32(folder):
    for path in folder.glob("*/*.safetensors"):
        half = {key: value.half() for key, value in load_file(path).items()}
        save_file(half, path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")), {"format": "pt"})
        path.unlink()
    parts = load(folder)
    assert {p.dtype for p in parts.unet.parameters()} == {torch.float32}
    name = "conv_in.weight"
    assert torch.equal(parts.unet.state_dict()[name], random_components().unet.state_dict()[name].half().float())


def rename_attention(path: Path) -> None:
    """The VAE's attention as files of 2022 have it."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for key, value in load_file(path).items():
        for new_name, old_name in old.items():
            key = key.replace(f"attentions.0.{new_name}.", f"attentions.0.{old_name}.")
        renamed[key] = value
    assert any(".proj_attn." in key for key in renamed)
    save_file(renamed, path, {"format": "pt"})


def test_old_names_of_the_vaes_attention_layers_are_understood(folder):
    rename_attention(folder / "vae/diffusion_pytorch_model.safetensors")
    key = "decoder.mid_block.attentions.0.to_out.0.weight"
    assert torch.equal(load(folder).vae.state_dict()[key], random_components().vae.state_dict()[key])


@pytest.mark.parametrize("subfolder", [None, "diffusion_sd15"])
def test_the_controlnet_may_be_a_folder_of_its_own(folder, tmp_path, subfolder):
    own = tmp_path / "own"
    shutil.move(folder / "controlnet", own / (subfolder or ""))
    parts = load(folder, controlnet_id=str(own))
    assert parts.digests["controlnet"] == file_sha256(next(own.rglob("*.safetensors")))


@pytest.fixture
def no_network(monkeypatch):
    def connect(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.setattr(socket.socket, "connect", connect)


def test_the_hubs_cache_is_used_without_asking_the_hub(folder, tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name, source, inside in (
        ("tiny/sd", folder, ""),
        (DEFAULT_CONTROLNET, folder / "controlnet", "diffusion_sd15"),
    ):
        entry = tmp_path / "cache" / f"models--{name.replace('/', '--')}"
        (entry / "refs").mkdir(parents=True)
        revision = PINNED_REVISIONS.get(name, "0" * 40)
        (entry / "refs/main").write_text("0" * 40)
        shutil.copytree(source, entry / "snapshots" / revision / inside)
    parts = load_components(ModelSettings(model_id="tiny/sd", device="cpu"))
    assert parts.digests == load(folder).digests
    next((tmp_path / "cache/models--tiny--sd").rglob(UNET)).unlink()
    with pytest.raises(WeightsMissing, match=r"tiny/sd is .* whole in the hub's cache; .*`hf download tiny/sd`"):
        load_components(ModelSettings(model_id="tiny/sd", device="cpu"))


# -- number formats


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_networks_are_read_in_the_number_format_asked_for(folder, dtype):
    parts = load_components(ModelSettings(model_id=str(folder), device="cpu"), dtype)
    for name in ("unet", "controlnet", "vae"):
        found, expected = getattr(parts, name).state_dict(), getattr(random_components(), name).state_dict()
        assert all(torch.equal(found[key], expected[key].to(getattr(torch, dtype))) for key in expected), name


def test_the_random_model_comes_in_the_number_format_asked_for():
    parts = load_components(ModelSettings(model_id="random"), "float16")
    assert {p.dtype for part in (parts.unet, parts.controlnet, parts.vae) for p in part.parameters()} == {torch.float16}
    assert parts.prompt_embeds.dtype == torch.float32 and parts.safety == "absent"


# -- pickles


@pytest.fixture
def pickled(folder) -> Path:
    """All networks as the pickles that torch.save writes, none as safetensors."""
    for path in folder.glob("*/*.safetensors"):
        stem = "pytorch_model" if path.stem == "model" else path.stem
        torch.save(load_file(path), path.with_name(f"{stem}.bin"))
        path.unlink()
    return folder


def test_pickles_are_read_when_that_is_asked_for_and_recorded(pickled, saved):
    with pytest.raises(WeightsInvalid, match=r"is a pickle, which is not read; .* \(or `allow_pickle: true`\)"):
        load(pickled)
    parts, expected = load(pickled, allow_pickle=True), load(saved)
    for name in ("unet", "controlnet", "vae"):
        found = getattr(parts, name).state_dict()
        assert all(torch.equal(found[k], v) for k, v in getattr(expected, name).state_dict().items()), name
    assert set(parts.pickled) == {"unet", "controlnet", "vae", "text_encoder"} and expected.pickled == ()
    first, second = (prompt_embeds(p.text, "a face", "text") for p in (parts, expected))
    assert torch.equal(first.positive, second.positive)


class Harmful:
    """What a pickle may hold: a call that is made when it is read."""

    def __reduce__(self):
        return (Path.touch, (Path("harm-was-done"),))


@pytest.mark.parametrize("what", ["code", "cut short", "not an archive", "too few tensors"])
def test_a_pickle_of_anything_else_is_refused(pickled, monkeypatch, tmp_path, what):
    monkeypatch.chdir(tmp_path)
    path = pickled / "unet/diffusion_pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    if what == "code":
        torch.save(tensors | {"extra": Harmful()}, path)
    elif what == "cut short":
        truncate(path)
    elif what == "not an archive":
        path.write_bytes(pickle.dumps(Harmful()))
    else:
        del tensors["conv_in.weight"]
        torch.save(tensors, path)
    with pytest.raises(WeightsInvalid, match=re.escape(str(path))):
        load(pickled, allow_pickle=True)
    assert not Path("harm-was-done").exists()


def test_a_safetensors_file_is_preferred_to_a_pickle_beside_it(folder):
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Harmful()))
    assert load(folder, allow_pickle=True).pickled == ()


# -- another UNet


@pytest.mark.parametrize("subfolder", ["arc2face", "unet", "", "own"])
def test_another_unet_stands_in_for_the_models_own(folder, tmp_path, subfolder):
    other = tmp_path / "other" / subfolder
    random_components(seed=1).unet.save_pretrained(other)
    settings = {"unet_subfolder": "own"} if subfolder == "own" else {}
    parts = load(folder, unet_id=str(tmp_path / "other"), **settings)
    expected = random_components(seed=1).unet.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in parts.unet.state_dict().items())
    assert parts.files["unet"].parent == other and parts.digests["unet"] == file_sha256(parts.files["unet"])
    assert parts.digests["vae"] == load(folder).digests["vae"]


def test_another_unet_is_on_the_record_with_what_it_does_not_get(folder, caplog):
    settings = ModelSettings(model_id=str(folder), unet_id=str(folder), unet_revision="abc", device="cpu")
    with caplog.at_level("WARNING", "sdaug.diffusion"):
        generator = load_generator(settings, {})
    generator.close()
    assert (generator.facts["unet_id"], generator.facts["unet_revision"]) == (str(folder), "abc")
    assert "gets the ordinary prompt: no face embedding is put into it" in caplog.text


def test_another_unet_has_to_fit(folder, tmp_path):
    other = shutil.copytree(folder / "unet", tmp_path / "other")
    edit_config(other / "config.json", cross_attention_dim=64)
    with pytest.raises(WeightsInvalid, match="cross_attention_dim is 32; 64 expected"):
        load(folder, unet_id=str(other))


def test_another_unet_that_is_nowhere_is_missing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WeightsMissing, match="sdaug-test/absent"):
        locate(ModelSettings(model_id=str(folder), unet_id="sdaug-test/absent"))


# -- the VAE in parts, and a tiny one


@pytest.mark.parametrize("old_names", [False, True])
def test_a_freed_vae_encoder_is_read_again(folder, old_names):
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    if old_names:
        rename_attention(path)
    vae = load(folder).vae
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = vae.encode(image).latent_dist.mean
        vae.encoder.to("meta"), vae.quant_conv.to("meta")
        state = read_vae_encoder(path)
        assert all(name.startswith(("encoder.", "quant_conv.")) for name in state)
        assert not vae.load_state_dict(state, strict=False, assign=True).unexpected_keys
        assert torch.equal(vae.encode(image).latent_dist.mean, before)
    assert {value.dtype for value in read_vae_encoder(path, "float16").values()} == {torch.float16}


@pytest.mark.parametrize("damage", ["missing", "cut short", "no encoder"])
def test_a_vae_encoder_that_cannot_be_read_again_is_said_so(folder, damage):
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    if damage == "missing":
        path.unlink()
    elif damage == "cut short":
        truncate(path)
    else:
        save_file({n: v for n, v in load_file(path).items() if n.startswith("decoder.")}, path, {"format": "pt"})
    with pytest.raises(WeightsInvalid, match=re.escape(str(path))):
        read_vae_encoder(path)


def tiny_vae(**changes):
    import importlib

    blocks = dict(encoder_block_out_channels=(4,) * 4, decoder_block_out_channels=(4,) * 4)
    blocks |= dict(num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4)
    return importlib.import_module("diffusers").AutoencoderTiny(**(blocks | changes))


def test_a_tiny_vae_is_read_from_a_folder(tmp_path):
    saved = tiny_vae()
    saved.save_pretrained(tmp_path)
    vae, digest = read_tiny_vae(str(tmp_path), dtype="float16")
    assert all(torch.equal(v, saved.state_dict()[k].half()) for k, v in vae.state_dict().items())
    assert digest == file_sha256(tmp_path / "diffusion_pytorch_model.safetensors") and not vae.training


def test_a_tiny_vae_that_does_not_fit_is_refused(folder, tmp_path):
    tiny_vae(latent_channels=16).save_pretrained(tmp_path / "16")
    with pytest.raises(WeightsInvalid, match="latent_channels is 16; 4 expected"):
        read_tiny_vae(str(tmp_path / "16"))
    with pytest.raises(WeightsInvalid, match="describes AutoencoderKL; AutoencoderTiny expected"):
        read_tiny_vae(str(folder / "vae"))
    with pytest.raises(WeightsMissing, match="`sdaug models pull` fetches"):
        read_tiny_vae("sdaug-test/absent")


# -- digests


def test_a_digest_is_remembered_until_the_file_is_touched(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"a" * 99)
    first = remembered.remembered_sha256(path)
    hashed = []
    monkeypatch.setattr(remembered, "file_sha256", lambda p: hashed.append(p) or file_sha256(p))
    assert remembered.remembered_sha256(path) == first == file_sha256(path) and not hashed
    before = path.stat()
    path.write_bytes(b"b" * 99)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same date
    assert remembered.remembered_sha256(path) == file_sha256(path) != first and hashed


def test_a_damaged_memory_of_digests_is_made_anew(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"a")
    remembered.remembered_sha256(path)
    for note in (cache_folder() / "digests").glob("*.json"):
        note.write_text(note.read_text()[:20])
    assert remembered.remembered_sha256(path) == file_sha256(path)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SDAUG_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("SDAUG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "sdaug"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path("~/.cache/sdaug").expanduser()


# -- what would be read


def test_located_files_are_those_that_are_read(folder):
    half = folder / UNET.replace(".safetensors", ".fp16.safetensors")
    (folder / UNET).rename(half)
    files = locate(ModelSettings(model_id=str(folder)))
    assert files["unet"] == half and files["controlnet"] == folder / "controlnet/diffusion_pytorch_model.safetensors"
    assert {name: file_sha256(path) for name, path in files.items()} == load(folder).digests


def test_locating_reads_no_tensor(folder):
    """Without torch there is nothing to read one into."""
    code = (
        "import sys; from sdaug.config import ModelSettings; from sdaug.diffusion.weights import locate\n"
        "print(*sorted(locate(ModelSettings(model_id=sys.argv[1]))))\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["controlnet", "text_encoder", "unet", "vae"]


@pytest.mark.parametrize("damage", ["truncated", "only .bin", "inpainting", "no vocabulary", "no scheduler"])
def test_locating_refuses_what_can_be_seen_without_reading(folder, damage):
    inflict, message = DAMAGE[damage]
    inflict(folder)
    with pytest.raises(WeightsInvalid) as caught:
        locate(ModelSettings(model_id=str(folder)))
    assert message in str(caught.value)


@pytest.mark.parametrize("read", [locate, load_components])
@pytest.mark.parametrize("absent", ["model_id", "controlnet_id"])
def test_what_is_not_in_the_hubs_cache_is_missing_and_nobody_is_asked(
    folder, tmp_path, monkeypatch, no_network, absent, read
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    model = ModelSettings.model_validate({"model_id": str(folder), absent: "sdaug-test/absent"})
    with pytest.raises(WeightsMissing, match="sdaug-test/absent is .* `sdaug models pull` fetches"):
        read(model)


# -- damaged folders


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def pickle_only(path: Path) -> None:
    path.rename(path.with_suffix(".bin"))


def add_tensors(path: Path, *names: str) -> None:
    save_file(load_file(path) | {name: torch.zeros(2) for name in names}, path, {"format": "pt"})


def drop_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors["conv_in.weight"]
    save_file(tensors, path, {"format": "pt"})


def reshape_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:, :3].contiguous()
    save_file(tensors, path, {"format": "pt"})


DAMAGE = {
    "missing component": (lambda f: shutil.rmtree(f / "vae"), "vae/config.json is missing"),
    "missing weights": (lambda f: (f / UNET).unlink(), f"{UNET} is missing"),
    "only .bin": (lambda f: pickle_only(f / UNET), "unet/diffusion_pytorch_model.bin is a pickle, which is not read"),
    "truncated": (lambda f: truncate(f / UNET), f"{UNET} is damaged or cut short"),
    "empty": (lambda f: (f / UNET).write_bytes(b""), f"{UNET} is damaged or cut short"),
    "not safetensors": (lambda f: (f / UNET).write_bytes(b"x" * 999), f"{UNET} is damaged or cut short"),
    "config cut short": (lambda f: truncate(f / "unet/config.json"), "unet/config.json is not JSON"),
    "config a list": (lambda f: (f / "unet/config.json").write_text("[]"), "unet/config.json holds a list"),
    "wrong class": (
        lambda f: edit_config(f / "unet/config.json", _class_name="SD3Transformer2DModel"),
        "unet/config.json describes SD3Transformer2DModel; UNet2DConditionModel expected",
    ),
    "inpainting": (lambda f: edit_config(f / "unet/config.json", in_channels=9), "in_channels is 9; 4 expected"),
    "SDXL": (
        lambda f: edit_config(f / "unet/config.json", addition_embed_type="text_time"),
        "addition_embed_type is text_time; None expected",
    ),
    "16-channel VAE": (lambda f: edit_config(f / "vae/config.json", latent_channels=16), "latent_channels is 16"),
    "ControlNet of another model": (
        lambda f: edit_config(f / "controlnet/config.json", cross_attention_dim=1024),
        "controlnet/config.json: cross_attention_dim is 1024; 32 expected",
    ),
    "ControlNet that wants BGR": (
        lambda f: edit_config(f / "controlnet/config.json", controlnet_conditioning_channel_order="bgr"),
        "controlnet/config.json: controlnet_conditioning_channel_order is bgr; rgb expected",
    ),
    "text encoder of another model": (
        lambda f: edit_config(f / "text_encoder/config.json", hidden_size=48),
        "text_encoder/config.json: hidden_size is 48; 32 expected",
    ),
    "no vocabulary": (lambda f: (f / "tokenizer/vocab.json").unlink(), "tokenizer/vocab.json is missing"),
    "no scheduler": (lambda f: shutil.rmtree(f / "scheduler"), "scheduler/scheduler_config.json is missing"),
    "unknown scheduler": (
        lambda f: edit_config(f / "scheduler/scheduler_config.json", _class_name="NoScheduler"),
        "names the scheduler 'NoScheduler'",
    ),
    "flow scheduler": (
        lambda f: edit_config(f / "scheduler/scheduler_config.json", _class_name="FlowMatchEulerDiscreteScheduler"),
        "names the scheduler 'FlowMatchEulerDiscreteScheduler'",
    ),
    "a tensor missing": (lambda f: drop_a_tensor(f / UNET), "does not fit its config.json: 1 tensors missing"),
    "a tensor too many": (
        lambda f: add_tensors(f / UNET, "zz.weight", "extra.weight"),
        "does not fit its config.json: 2 tensors too many, the first extra.weight",
    ),
    "a tensor of another shape": (lambda f: reshape_a_tensor(f / UNET), "does not fit its config.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_refused_by_name(folder, damage):
    inflict, message = DAMAGE[damage]
    inflict(folder)
    with pytest.raises(WeightsInvalid) as caught:
        load(folder)
    assert message in str(caught.value)
    assert caught.value.reason is Reason.WEIGHTS_INVALID


def test_files_are_checked_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(weights, "_read", lambda *_: pytest.fail("weights were read"))
    truncate(folder / "controlnet/diffusion_pytorch_model.safetensors")
    with pytest.raises(WeightsInvalid, match="cut short"):
        load(folder)


def test_a_file_is_no_folder(folder):
    with pytest.raises(WeightsInvalid, match="is a file; a folder in diffusers layout expected"):
        load(folder / UNET)


# -- absent


def test_an_absent_folder_is_missing(tmp_path):
    with pytest.raises(WeightsMissing, match="no such folder") as caught:
        load(tmp_path / "nowhere")
    assert caught.value.reason is Reason.WEIGHTS_MISSING


@pytest.mark.parametrize("name", ["a/b/c", "a--b", "../up", "nowhere/", "model.git", "model für alle"])
def test_a_name_that_no_hub_has_is_not_asked_for(tmp_path, monkeypatch, no_network, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsMissing, match="no such folder, and not a hub id either"):
        load_components(ModelSettings(model_id=name))
