"""What every lever file must do. Files are found, not listed; a new lever is tested by being there."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.utils._python_dispatch import TorchDispatchMode

from sdaug import plugins
from sdaug.config import GenerationSettings, ModelSettings
from sdaug.levers import AbstractLever, LeverSkipped
from sdaug.diffusion.generator import Job
from sdaug.diffusion.load import load_generator
from sdaug.types import Pose, View

RANDOM = ModelSettings(model_id="random", device="cpu")
SIDE = 64
LEVERS = plugins.names("sdaug.levers")


class Trace(TorchDispatchMode):
    """Every operation that runs, with the shapes and number formats it runs on."""

    def __init__(self):
        super().__init__()
        self.operations: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [(tuple(a.shape), a.dtype, a.device.type) for a in args if isinstance(a, torch.Tensor)]
        self.operations.append((str(func), *tensors))
        return func(*args, **(kwargs or {}))


def what_runs(pipeline) -> list[tuple]:
    """The operations of a denoising step and a decoding, for a batch of two."""
    dtype, device = pipeline.dtype, pipeline.device
    latents = torch.zeros(2, 4, 8, 8, dtype=dtype, device=device)
    prompt = torch.zeros(2, 77, pipeline.unet.config.cross_attention_dim, dtype=dtype, device=device)
    with torch.no_grad(), Trace() as trace:
        pipeline.unet(latents, 500, prompt)
        pipeline.vae.decode(latents)
    return trace.operations


def apply_or_skip(name: str, options: dict | None = None):
    try:
        return load_generator(RANDOM, {name: options or {}})
    except LeverSkipped as skipped:
        assert str(skipped), f"lever {name!r} was skipped without a reason"
        pytest.skip(f"{name}: {skipped}")


def images(generator) -> list[np.ndarray]:
    image = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8)[..., None].repeat(3, 2)
    mask = np.zeros((SIDE, SIDE), bool)
    view = View(Pose(0, 0), image, mask.astype(np.float32), mask, np.zeros((478, 3), np.float32))
    settings = GenerationSettings(num_inference_steps=2, hole_strength=1.0, guidance_scale=2.0, size=SIDE)
    return [made.image for made in generator.generate([Job(i, view, image) for i in range(2)], settings)]


@pytest.fixture(scope="module")
def plain():
    generator = load_generator(RANDOM, {})
    yield generator
    generator.close()


def test_there_are_levers():
    assert {"precision", "attention_slicing", "vae_slicing"} <= set(LEVERS)


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
def test_a_lever_changes_what_runs(name, plain):
    generator = apply_or_skip(name)
    assert what_runs(plain.pipeline) == what_runs(plain.pipeline)
    assert what_runs(generator.pipeline) != what_runs(plain.pipeline)
    generator.close()


@pytest.mark.parametrize("name", LEVERS)
def test_a_lever_keeps_shape_and_determinism_and_stays_near_the_plain_image(name, plain):
    generator = apply_or_skip(name)
    first, second = images(generator), images(generator)
    for image, again, expected in zip(first, second, images(plain), strict=True):
        assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
        assert np.array_equal(image, again)
        assert np.abs(image.astype(int) - expected).mean() < 5
    generator.close()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_precision_changes_raw_pixels(dtype, plain):
    generator = load_generator(RANDOM, {"precision": {"dtype": dtype}})
    assert {str(p.dtype) for p in generator.pipeline.vae.parameters()} == {f"torch.{dtype}"}
    assert generator.facts["dtype"] == dtype
    assert not np.array_equal(images(generator), images(plain))
    generator.close()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("precision", {"dtype": "float8"}, "option 'dtype' is 'float8'"),
        ("precision", {"dtyp": "float16"}, "unknown option 'dtyp'; did you mean 'dtype'"),
        ("attention_slicing", {"slice_size": 0}, "slice_size"),
        ("attention_slicing", {"slice_size": "min"}, "slice_size"),
        ("precison", {}, "unknown lever 'precison'; did you mean 'precision'"),
    ],
)
def test_a_wrong_word_is_refused_with_the_right_one(name, options, message):
    with pytest.raises(plugins.PluginError, match=message):
        plugins.load("sdaug.levers", name, options)


def test_a_lever_that_does_not_apply_says_why():
    with pytest.raises(LeverSkipped, match="slice_size 64 is more than the 4 heads"):
        load_generator(RANDOM, {"attention_slicing": {"slice_size": 64}})


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
    import subprocess
    import sys

    code = (
        "import sys; from sdaug import plugins\n"
        "for name in plugins.names('sdaug.levers'): plugins.load('sdaug.levers', name)\n"
        "assert not {'torch', 'diffusers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
