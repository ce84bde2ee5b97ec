"""What every lever file must do. Files are found, not listed; a new lever is tested by being there.

What a lever claims to change is counted on the small random model, with the lever and without; what it does not claim
has to be the same.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

from sdaug import plugins
from sdaug.bench.pipeline import fastest_levers
from sdaug.config import GenerationSettings, ModelSettings
from sdaug.costmodel.count import counting
from sdaug.diffusion import generator as generating
from sdaug.diffusion import prompts
from sdaug.diffusion.engine_build import build_engine
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.random_model import random_tiny_vae
from sdaug.levers import AbstractLever, Answer, Change, LeverSkipped, Quantity
from sdaug.types import Pose, View

LEVERS = plugins.names("sdaug.levers")
SETTINGS = GenerationSettings(num_inference_steps=6, hole_strength=1.0, guidance_scale=3.0, size=64)
LARGE = GenerationSettings(num_inference_steps=2, hole_strength=1.0, guidance_scale=3.0, size=448)
"""For levers whose defaults say nothing to small pictures."""
NEEDS_LARGE = {"vae_tiling", "resolution"}

TOLERANCES = {"same": 1e-4, "coarser": 0.2, "nearby": 0.8}
"""same: at the worst of the decoded numbers, which are about -1..1. coarser, nearby: the mean
difference from the plain picture, in units of the difference between two seeds."""


def jobs(side: int) -> list[Job]:
    made = []
    for index in range(3 if side < LARGE.size else 1):
        coarse = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize((side, side)))
        own = np.zeros((side, side), np.float32)
        own[:, : side // 2] = 1
        view = View(Pose(0, 0), image, own, own < 0.25, np.zeros((478, 3), np.float32))
        made.append(Job(index, view, 255 - image))
    return made


def pictures(
    generator: DiffusionGenerator, settings: GenerationSettings, decoded: list[np.ndarray] | None = None
) -> np.ndarray:
    """(B, S, S, 3) int, what diffusion made of every pixel. decoded: gets the numbers that these were rounded from."""

    def spy(*arguments):
        pixels = generating_decode(*arguments)
        if decoded is not None:
            decoded.append(pixels.float().numpy())
        return pixels

    generating_decode = generating.decode
    with patch.object(generating, "decode", spy):
        results = list(generator.generate(jobs(settings.size), settings))
    assert {result.failure for result in results} == {None}
    return np.stack([result.diffused for result in results]).astype(int)


class Convolutions(TorchDispatchMode):
    """Counts convolutions while it is `on`, and those of pictures that are stored pixel by pixel."""

    def __init__(self):
        super().__init__()
        self.on = False
        self.all = self.channels_last = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.on and ("conv2d" in func.__name__ or "convolution" in func.__name__):
            image = args[0]
            self.all += 1
            self.channels_last += not image.is_contiguous() and image.is_contiguous(memory_format=torch.channels_last)
        return func(*args, **(kwargs or {}))


def bytes_held(pipeline) -> int:
    """Of PyTorch's weights and buffers of every network, shared ones once."""
    held = {}
    networks = [network for network in pipeline.networks.values() if isinstance(network, torch.nn.Module)]
    tensors = [t for network in networks for t in (*network.parameters(), *network.buffers())]
    while tensors:
        tensor = tensors.pop()
        if is_traceable_wrapper_subclass(tensor):  # quantised: what is inside counts
            tensors += [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        elif tensor.device.type != "meta":
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(held.values())


def count_call(
    generator: DiffusionGenerator, settings: GenerationSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[Quantity, int]]:
    """Pictures of two calls, the first's decoded numbers, and what a third takes, whose photo is encoded already."""
    pipeline, convolutions = generator.pipeline, Convolutions()
    graphs_before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    decoded: list[np.ndarray] = []
    first, second = pictures(generator, settings, decoded), pictures(generator, settings)
    seen: dict[str, list[int]] = {"unet": [], "controlnet": [], "vae": [], "held": []}

    plain = replace(pipeline)

    def watched(name):
        """The network of that name, its calls noted; not by a hook, which an engine does not take."""
        network = getattr(plain, name)

        def run(*args, **kwargs):
            seen[name].append(len(args[0] if args else kwargs["sample"]))
            if name == "unet":
                seen["held"].append(bytes_held(plain))
                convolutions.on = True
            answer = network(*args, **kwargs)
            convolutions.on = False
            return answer

        return run

    pipeline.unet, pipeline.controlnet = watched("unet"), watched("controlnet")
    hook = pipeline.vae.decoder.register_forward_hook(lambda _, __, out: seen["vae"].append(out[:, 0].numel()))
    at_start = bytes_held(plain)
    # What is compiled runs past the dispatcher, and refuses to run where somebody watches it.
    with torch.compiler.set_stance("force_eager"), counting() as counter, convolutions:
        pictures(generator, settings)
    hook.remove()
    pipeline.unet, pipeline.controlnet = plain.unet, plain.controlnet
    assert len(set(seen["held"])) == 1
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"] - graphs_before
    counts: dict[Quantity, int] = {
        "weight_bytes": seen["held"][0],
        "peak_bytes": at_start + counter.peak_live_bytes,
        "flops": counter.flops,
        "launches": counter.launches,
        "bytes_moved": counter.work.bytes_eager,
        "unet_runs": len(seen["unet"]),
        "unet_images": sum(seen["unet"]),
        "controlnet_runs": len(seen["controlnet"]),
        "controlnet_images": sum(seen["controlnet"]),
        "vae_pixels": sum(seen["vae"]),
        "compiled": graphs,
        "channels_last": int(convolutions.channels_last > convolutions.all / 2),
    }
    return first, second, np.concatenate(decoded), counts


class Bench:
    """The random model on disk, its plain pictures and counts, and those with one lever, each made once."""

    def __init__(self, model: Path, tiny_vae: Path, cache: Path, engine: Path):
        self.model = ModelSettings(model_id=str(model), device="cpu")
        self.options = {
            "tiny_vae": {"vae_id": str(tiny_vae)},
            "prompt_cache": {"folder": str(cache)},
            "onnx_engine": {"folder": str(engine)},
        }
        self.made: dict = {}

    def settings(self, name: str) -> GenerationSettings:
        return LARGE if name in NEEDS_LARGE else SETTINGS

    def load(self, name: str | None) -> tuple[DiffusionGenerator, int]:
        """With one lever or none, and the bytes of the text encoder that were read for it."""
        if name == "onnx_engine" and not (folder := Path(self.options[name]["folder"])).exists():
            build_engine(ModelSettings(model_id="random", device="cpu"), folder)  # the same weights
        read = []

        def spy(network, path, *rest):
            read.append(path.stat().st_size)
            return real(network, path, *rest)

        real, prompts.read_network = prompts.read_network, spy
        try:
            generator = load_generator(self.model, {} if name is None else {name: self.options.get(name, {})})
        except LeverSkipped as skipped:
            assert str(skipped), f"lever {name!r} was skipped without a reason"
            pytest.skip(f"{name}: {skipped}")
        finally:
            prompts.read_network = real
        return generator, sum(read)

    def measure(self, name: str | None, settings: GenerationSettings):
        """(pictures, the same again, decoded numbers, counts, fields that are held) with one lever or none."""
        if (name, settings) not in self.made:
            if name == "prompt_cache":
                self.load(name)[0].close()  # what it keeps on disk is there the second time
            generator, read = self.load(name)
            first, second, decoded, counts = count_call(generator, settings)
            counts["text_encoder_bytes"] = read
            self.made[name, settings] = first, second, decoded, counts, dict(generator.pipeline.call)
            generator.close()
        return self.made[name, settings]

    def plain_with(self, settings: GenerationSettings) -> np.ndarray:
        return self.measure(None, settings)[0]


@pytest.fixture(scope="module")
def bench(saved, tmp_path_factory) -> Bench:
    tiny = tmp_path_factory.mktemp("tiny")
    random_tiny_vae("float32")[0].save_pretrained(tiny)
    # Building it takes half a minute: test_onnx.py may have done so already.
    return Bench(saved, tiny, tmp_path_factory.mktemp("prompts"), tmp_path_factory.getbasetemp() / "engine-float32")


def test_there_are_levers():
    assert {"precision", "attention_slicing", "vae_slicing", "tiny_vae", "fp8_storage", "cuda_graphs"} < set(LEVERS)


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_is_a_frozen_config_with_defaults(name):
    lever = plugins.load("sdaug.levers", name)
    assert isinstance(lever, AbstractLever)
    assert type(lever)(**lever.model_dump()) == lever
    with pytest.raises(ValidationError, match="frozen"):
        setattr(lever, next(iter(type(lever).model_fields), "anything"), None)


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_refuses_an_unknown_option(name):
    with pytest.raises(plugins.PluginError, match=f"lever {name!r}: unknown option 'no_such_option'; .*there are: "):
        plugins.load("sdaug.levers", name, {"no_such_option": 1})


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_says_what_it_trades(name):
    docs = type(plugins.load("sdaug.levers", name)).docs
    assert "Trades " in docs and " for " in docs.split("Trades ")[1]


@pytest.mark.parametrize("name", LEVERS)
def test_what_a_lever_declares_is_in_the_vocabulary(name):
    lever = plugins.load("sdaug.levers", name)
    assert set(lever.claims) <= set(get_args(Quantity)) and set(lever.claims.values()) <= set(get_args(Change))
    assert lever.answer in get_args(Answer)
    assert set(lever.excludes) <= set(LEVERS) - {name} and all(lever.excludes.values())


@pytest.mark.parametrize("name", LEVERS)
def test_what_a_lever_claims_is_what_is_counted(name, bench):
    plain, counted = (bench.measure(which, bench.settings(name))[3] for which in (None, name))
    claims = plugins.load("sdaug.levers", name).claims
    assert claims, "a lever that claims nothing does nothing"
    changes: dict[str, str] = {}
    for quantity, before in plain.items():
        if counted[quantity] != before:
            changes[quantity] = "less" if counted[quantity] < before else "more"
    expected = {q: changes.get(q, "same") if c == "varies" else c for q, c in claims.items() if q in plain}
    assert changes == {q: c for q, c in expected.items() if c != "same"}, {q: (plain[q], counted[q]) for q in plain}


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_gives_the_same_picture_twice(name, bench):
    first, second, *_ = bench.measure(name, bench.settings(name))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", LEVERS)
def test_a_levers_picture_is_as_near_the_plain_one_as_it_says(name, bench):
    settings = bench.settings(name)
    (picture, _, decoded, *_), plain = bench.measure(name, settings), bench.plain_with(settings)
    assert picture.shape == plain.shape
    off = np.abs(picture - plain)
    between_seeds = np.abs(bench.plain_with(settings.model_copy(update={"seed": 1})) - plain).mean()
    assert between_seeds > 10
    answer = plugins.load("sdaug.levers", name).answer
    if answer == "same":
        assert np.abs(decoded - bench.measure(None, settings)[2]).max() <= TOLERANCES["same"]
    elif answer == "other":
        assert off.mean() > TOLERANCES["nearby"] * between_seeds
    else:
        assert 0 < off.mean() < TOLERANCES[answer] * between_seeds


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_that_holds_settings_does_what_they_do_when_asked_for(name, bench):
    picture, *_, held = bench.measure(name, bench.settings(name))
    if not held:
        pytest.skip(f"{name} holds no settings")
    asked = GenerationSettings.model_validate(bench.settings(name).model_dump() | held)
    generator, _ = bench.load(None)
    made = np.stack([m.diffused for m in generator.generate(jobs(bench.settings(name).size), asked)])
    generator.close()
    assert np.array_equal(picture, made)


@pytest.mark.slow
def test_the_levers_that_the_benchmark_has_on_give_the_same_picture(bench):
    """Both networks compiled whole, their weights frozen: not what the lever does by default."""
    levers, skipped = fastest_levers(torch.device("cpu"))
    if skipped:
        pytest.skip(str(skipped))
    assert levers == {"torch_compile": {"freezing": True}}
    settings, decoded = GenerationSettings(num_inference_steps=2, hole_strength=1.0, size=64), []
    graphs_before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for chosen in ({}, levers):
        generator = load_generator(bench.model, chosen)
        pictures(generator, settings, decoded)
        generator.close()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - graphs_before >= 2
    assert np.abs(decoded[0] - decoded[1]).max() <= TOLERANCES["same"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("precision", {"dtype": "float8"}, "option 'dtype' is 'float8'"),
        ("precision", {"dtyp": "float16"}, "unknown option 'dtyp'; did you mean 'dtype'"),
        ("attention_slicing", {"slice_size": 0}, "slice_size"),
        ("attention_slicing", {"slice_size": "min"}, "slice_size"),
        ("vae_tiling", {"tile": 100}, "multiple of 64"),
        ("guidance_interval", {"guidance_start": 0.9}, "0.9 to 0.6 is no interval"),
        ("controlnet_gating", {"control_guidance_end": 0.0}, "0.0 to 0.0 is no interval"),
        ("few_steps", {"scheduler": "dpm"}, "scheduler"),
        ("angle_batch", {"batch_size": 11}, "batch_size"),
        ("precison", {}, "unknown lever 'precison'; did you mean 'precision'"),
    ],
)
def test_a_wrong_word_is_refused_with_the_right_one(name, options, message):
    with pytest.raises(plugins.PluginError, match=message):
        plugins.load("sdaug.levers", name, options)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", "none"),
        ("class A(AbstractThing): pass\nclass B(AbstractThing): pass", "A, B"),
        ("class _Hidden(AbstractThing): pass", "none"),
    ],
)
def test_a_plugin_file_defines_exactly_one_plugin(tmp_path, monkeypatch, source, found):
    package = tmp_path / f"things_{len(source)}"
    package.mkdir()
    (package / "__init__.py").write_text("from sdaug.config import Config\n\nclass AbstractThing(Config): pass\n")
    (package / "file.py").write_text(f"from {package.name} import AbstractThing\n{source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.names(package.name) == ["file"]
    with pytest.raises(
        plugins.PluginError, match=f"exactly one public class derived from AbstractThing; found: {found}"
    ):
        plugins.load(package.name, "file")


def test_a_sweep_file_can_be_checked_without_torch():
    code = (
        "import sys; from sdaug import plugins\n"
        "for name in plugins.names('sdaug.levers'): plugins.load('sdaug.levers', name)\n"
        "assert not {'torch', 'diffusers', 'accelerate'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
