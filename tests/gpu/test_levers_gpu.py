"""What only a CUDA device can show of the levers. Run with `pytest tests/gpu`; not among the usual tests.

The small random model for what is right, networks of the full size with random weights for what is saved.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from sdaug.config import GenerationSettings, ModelSettings
from sdaug.costmodel.architecture import build
from sdaug.diffusion.generator import Job
from sdaug.diffusion.load import load_generator
from sdaug.levers import LeverSkipped, Pipeline, torch_compile
from sdaug.plugins import load
from sdaug.types import Pose, View

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

RANDOM = ModelSettings(model_id="random", device="cuda")
SETTINGS = GenerationSettings.model_validate(
    dict(num_inference_steps=8, size=64, hole_strength=1.0, guidance_scale=5.0, guidance_end=0.5)
    | dict(control_guidance_end=0.75, controlnet_interval=2)
)
"""Every kind of step: guided or not; ControlNet run, reused and skipped."""


def pictures(generator, settings: GenerationSettings = SETTINGS, count: int = 3) -> np.ndarray:
    side = settings.size
    made = []
    for index in range(count):
        coarse = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize((side, side)))
        own = np.zeros((side, side), np.float32)
        made.append(Job(index, View(Pose(0, 0), image, own, own < 0.25, np.zeros((478, 3), np.float32)), 255 - image))
    results = list(generator.generate(made, settings))
    assert {result.failure for result in results} == {None}
    return np.stack([result.diffused for result in results]).astype(int)


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    generator = load_generator(RANDOM, {})
    made = pictures(generator)
    generator.close()
    return made


@pytest.mark.parametrize("name", ["cuda_graphs", "channels_last", "torch_compile", "free_vae_encoder"])
def test_the_picture_stays_the_same_call_after_call(name, plain):
    generator = load_generator(RANDOM, {name: {}})
    for _ in range(3):
        assert np.abs(pictures(generator) - plain).max() <= 1
    generator.close()


@pytest.mark.parametrize("name", ["model_cpu_offload", "sequential_cpu_offload"])
def test_offload_changes_no_picture_and_leaves_nothing_on_the_card(name, plain):
    try:
        generator = load_generator(RANDOM, {name: {}})
    except LeverSkipped as skipped:
        assert torch.cuda.get_device_properties(0).is_integrated
        pytest.skip(str(skipped))
    for _ in range(2):
        assert np.abs(pictures(generator) - plain).max() <= 1
        held = [p.device.type for network in generator.pipeline.networks.values() for p in network.parameters()]
        assert "cuda" not in held
    generator.close()


def test_graphs_of_every_batch_and_kind_of_step_are_kept_and_freed(plain):
    before = torch.cuda.memory_allocated()
    generator = load_generator(RANDOM, {"cuda_graphs": {}})
    captured = generator.pipeline.unet.forward
    pictures(generator)
    # Guided with residuals; not guided with them and without.
    assert len(captured.graphs) == 3
    pictures(generator, count=2)
    assert len(captured.graphs) == 6
    assert np.abs(pictures(generator) - plain).max() <= 1
    del captured
    generator.close()
    assert torch.cuda.memory_allocated() <= before


@pytest.fixture
def full_size() -> Pipeline:
    unet = build("unet", device="cuda", dtype=torch.float16)
    controlnet = build("controlnet", device="cuda", dtype=torch.float16)
    hint = controlnet.controlnet_cond_embedding
    controlnet.controlnet_cond_embedding = torch.nn.Identity()
    device = torch.device("cuda")
    pipeline = Pipeline(unet, controlnet, hint, torch.nn.Identity(), None, device, torch.float16)
    yield pipeline
    for undo in reversed(pipeline.undo):
        undo()
    for network in pipeline.networks.values():
        network.to("meta")
    torch.cuda.empty_cache()


def step(pipeline: Pipeline, batch: int = 2, timestep: int = 500) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.randn(batch, 4, 64, 64, generator=generator).to("cuda", torch.float16)
    prompts = torch.randn(batch, 77, 768, generator=generator).to("cuda", torch.float16)
    hints = torch.randn(batch, 320, 64, 64, generator=generator).to("cuda", torch.float16)
    moment = torch.tensor(timestep, device="cuda")
    with torch.inference_mode():
        down, middle = pipeline.controlnet(
            noise, moment, encoder_hidden_states=prompts, controlnet_cond=hints, return_dict=False
        )
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return pipeline.unet(noise, moment, encoder_hidden_states=prompts, return_dict=False, **residuals)[0]


def launches(run) -> int:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        run()
        torch.cuda.synchronize()
    return sum(event.count for event in profiler.key_averages() if "Launch" in event.key)


def milliseconds(run, repeats: int = 20) -> float:
    for _ in range(3):
        run()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / repeats


def close(made: torch.Tensor, expected: torch.Tensor) -> bool:
    """Within float16's rounding through a whole network."""
    return bool((made - expected).abs().float().mean() < 0.01 * expected.abs().float().mean())


def test_cuda_graphs_launch_a_step_in_a_few_calls_and_answer_for_other_timesteps(full_size):
    expected = {moment: step(full_size, timestep=moment) for moment in (500, 20)}
    assert not close(expected[500], expected[20])
    before, slow = launches(lambda: step(full_size)), milliseconds(lambda: step(full_size))
    load("sdaug.levers", "cuda_graphs").apply(full_size)
    for moment, answer in expected.items():
        assert close(step(full_size, timestep=moment), answer)
    assert launches(lambda: step(full_size)) < before / 10
    assert milliseconds(lambda: step(full_size)) <= 1.02 * slow


def test_fp8_storage_halves_the_weights_of_half_precision(full_size):
    expected, before = step(full_size), torch.cuda.memory_allocated()
    load("sdaug.levers", "fp8_storage").apply(full_size)
    torch.cuda.empty_cache()
    saved = before - torch.cuda.memory_allocated()
    assert saved == pytest.approx(1.22e9, rel=0.03)
    made = step(full_size)
    assert torch.isfinite(made).all() and not torch.equal(made, expected)
    assert (made - expected).abs().float().mean() < 0.3 * expected.abs().float().mean()


def test_compiled_blocks_answer_the_same_and_take_less_time(full_size):
    try:
        torch_compile.check_compiler(full_size.device)
    except LeverSkipped as skipped:
        pytest.skip(str(skipped))
    expected, slow = step(full_size), milliseconds(lambda: step(full_size))
    load("sdaug.levers", "channels_last").apply(full_size)
    load("sdaug.levers", "torch_compile").apply(full_size)
    assert close(step(full_size), expected)
    assert milliseconds(lambda: step(full_size)) < slow
