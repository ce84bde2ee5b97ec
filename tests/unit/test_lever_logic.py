"""Levers one by one, where the contract over all of them does not reach: what is moved, kept, refused and undone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sdaug.config import GenerationSettings, ModelSettings
from sdaug.costmodel.architecture import build
from sdaug.costmodel.count import counting
from sdaug.costmodel.memory import weight_bytes
from sdaug.diffusion.generator import Job
from sdaug.diffusion.load import assemble, load_generator
from sdaug.diffusion.random_model import random_components
from sdaug.levers import LeverSkipped, Pipeline, model_cpu_offload, precision, sequential_cpu_offload, torch_compile
from sdaug.levers.cuda_graphs import Captured
from sdaug.plugins import load
from sdaug.types import Pose, View

RANDOM = ModelSettings(model_id="random", device="cpu")
SIDE = 64


def jobs(count: int = 2) -> list[Job]:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE)))
    own = np.zeros((SIDE, SIDE), np.float32)
    view = View(Pose(0, 0), image, own, own < 0.25, np.zeros((478, 3), np.float32))
    return [Job(i, view, 255 - image) for i in range(count)]


def pictures(generator, count: int = 2, **settings) -> np.ndarray:
    chosen = GenerationSettings.model_validate(dict(num_inference_steps=4, size=SIDE) | settings)
    return np.stack([made.diffused for made in generator.generate(jobs(count), chosen)])


@pytest.fixture(scope="module")
def plain():
    generator = load_generator(RANDOM, {})
    yield generator
    generator.close()


@pytest.fixture
def pipeline() -> Pipeline:
    return assemble(random_components(), torch.device("cpu"))


class Card:
    """A GPU with memory of its own, or a Jetson's, as far as a lever asks."""

    def __init__(self, monkeypatch, integrated: bool):
        properties = type("Properties", (), {"is_integrated": int(integrated)})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
        self.device = torch.device("cuda")


# -- what excludes what


@pytest.mark.parametrize(
    ("levers", "message"),
    [
        (["cuda_graphs", "torch_compile"], "cuda_graphs and torch_compile exclude each other: "),
        (["tiny_vae", "free_vae_encoder"], "free_vae_encoder and tiny_vae exclude each other: .*nothing to free"),
        (["fp8_storage", "int8_weights"], "both store the same weights"),
        (["sequential_cpu_offload", "model_cpu_offload"], "both move the same networks"),
        (["sequential_cpu_offload", "channels_last"], "channels_last and sequential_cpu_offload"),
        (["onnx_engine", "fp8_storage"], "an engine's weights are fixed"),
    ],
)
def test_levers_that_exclude_each_other_are_skipped_before_weights_are_looked_for(monkeypatch, levers, message):
    monkeypatch.setattr("sdaug.diffusion.load.load_components", lambda *_: pytest.fail("weights were looked for"))
    with pytest.raises(LeverSkipped, match=message):
        load_generator(RANDOM, {name: {} for name in levers})


def test_two_levers_cannot_hold_one_setting_at_two_values(pipeline):
    pipeline.call["scheduler"] = "lcm"  # as a few-step LoRA does
    with pytest.raises(LeverSkipped, match="scheduler is held at 'lcm' already; 'dpmsolver\\+\\+' cannot be too"):
        load("sdaug.levers", "few_steps").apply(pipeline)
    load("sdaug.levers", "few_steps", {"scheduler": None}).apply(pipeline)
    assert pipeline.call == {"scheduler": "lcm", "num_inference_steps": 5}


def test_attention_slicing_is_skipped_where_it_would_drop_the_face(pipeline):
    class IPAdapterAttnProcessor2_0:
        pass

    pipeline.unet.set_attn_processor(IPAdapterAttnProcessor2_0())
    with pytest.raises(LeverSkipped, match="face adapter"):
        load("sdaug.levers", "attention_slicing").apply(pipeline)


def test_attention_slicing_says_how_many_heads_there_are(pipeline):
    with pytest.raises(LeverSkipped, match="slice_size 64 is more than the 4 heads"):
        load("sdaug.levers", "attention_slicing", {"slice_size": 64}).apply(pipeline)


@pytest.mark.parametrize(("dtype", "known", "warned"), [
    ("bfloat16", False, True), ("bfloat16", True, False), ("float32", False, False),
])  # fmt: skip
def test_a_format_that_the_processor_cannot_compute_in_is_warned_of(
    pipeline, monkeypatch, caplog, dtype, known, warned
):
    monkeypatch.setattr(precision, "has_arithmetic", lambda of: known or of == "float32")
    precision.Precision(dtype=dtype).apply(pipeline)
    assert (f"no {dtype} arithmetic" in caplog.text) == warned
    assert pipeline.unet.dtype == getattr(torch, dtype)


def test_whether_a_processor_computes_in_a_format_is_known_here():
    """The flags that oneDNN's kernels need, as Linux tells them."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    if "avx512f" not in flags and "avx_ne_convert" not in flags and "asimd" not in flags:
        assert not precision.has_arithmetic("bfloat16") and not precision.has_arithmetic("float16")
    if "avx512_bf16" in flags:
        assert precision.has_arithmetic("bfloat16")


def test_prompts_of_the_random_model_are_not_cached():
    with pytest.raises(LeverSkipped, match="no text encoder"):
        load_generator(RANDOM, {"prompt_cache": {}})


def test_a_compiler_that_does_not_work_is_a_skipped_lever(pipeline, monkeypatch):
    def broken(*_, **__):
        def fail(_):
            raise RuntimeError("Failed to find C compiler.\nPlease specify one.")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(LeverSkipped, match=r"no compiler works here for cpu: Failed to find C compiler\.$"):
        load("sdaug.levers", "torch_compile").apply(pipeline)


def test_regional_compilation_reaches_the_convolutions_of_both_networks(pipeline, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch_compile, "check_compiler", lambda _: None)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **options: compiled.append((module, options)))
    load("sdaug.levers", "torch_compile").apply(pipeline)
    inside = {id(layer) for block, _ in compiled for layer in block.modules()}
    for network in (pipeline.unet, pipeline.controlnet):
        convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
        weights = {layer.weight.numel() for layer in convolutions if id(layer) not in inside}
        covered = sum(layer.weight.numel() for layer in convolutions if id(layer) in inside)
        assert covered > 0.7 * sum(layer.weight.numel() for layer in convolutions), weights
    assert {str(options) for _, options in compiled} == {"{'mode': 'default', 'fullgraph': True}"}
    pipeline.put_back()


@pytest.mark.parametrize("fails", ["a later lever", "the prompts"])
def test_a_load_that_fails_leaves_the_compilers_settings_as_they_were(monkeypatch, fails):
    import torch._inductor.config as inductor

    def refuse(*_):
        raise LeverSkipped("no prompts today")

    monkeypatch.setattr(torch_compile, "check_compiler", lambda _: None)
    before = inductor.freezing, torch._dynamo.config.recompile_limit
    levers = {"torch_compile": {"freezing": True}}
    if fails == "a later lever":
        levers["attention_slicing"] = {"slice_size": 64}
    else:
        monkeypatch.setattr("sdaug.diffusion.load.encoded_prompts", refuse)
    with pytest.raises(LeverSkipped):
        load_generator(RANDOM, levers)
    assert (inductor.freezing, torch._dynamo.config.recompile_limit) == before == (False, before[1])


# -- offload


@pytest.mark.parametrize("name", ["model_cpu_offload", "sequential_cpu_offload"])
def test_offload_is_skipped_where_memory_is_shared(pipeline, monkeypatch, name):
    with pytest.raises(LeverSkipped, match="cpu has no memory of its own"):
        load("sdaug.levers", name).apply(pipeline)
    pipeline.device = Card(monkeypatch, integrated=True).device
    with pytest.raises(LeverSkipped, match="cuda has no memory of its own"):
        load("sdaug.levers", name).apply(pipeline)


@pytest.mark.parametrize("name", ["model_cpu_offload", "sequential_cpu_offload"])
def test_offload_applies_to_a_card(pipeline, monkeypatch, name):
    pipeline.device = Card(monkeypatch, integrated=False).device
    module = {"model_cpu_offload": model_cpu_offload, "sequential_cpu_offload": sequential_cpu_offload}[name]
    seen = []
    monkeypatch.setattr(module, "offload", seen.append)
    load("sdaug.levers", name).apply(pipeline)
    assert seen == [pipeline]


def test_model_offload_moves_the_vae_and_the_denoisers_out_of_each_others_way(monkeypatch, plain):
    """The order of moves, with the CPU standing for both sides and therefore nothing really moved."""
    generator = load_generator(RANDOM, {})
    pipeline, moved = generator.pipeline, []
    names = {id(network): name for name, network in pipeline.networks.items()}

    from accelerate import hooks

    original = hooks.CpuOffload.pre_forward

    def watched(self, module, *args, **kwargs):
        before = self.prev_module_hook
        if before is not None:
            # accelerate asks where the previous module is before it moves it; here all are on the CPU already.
            away = getattr(before, "hooks", [before])
            moved.append((names[id(module)], sorted(names[id(hook.model)] for hook in away)))
        else:
            moved.append((names[id(module)], []))
        return original(self, module, *args, **kwargs)

    monkeypatch.setattr(hooks.CpuOffload, "pre_forward", watched)
    model_cpu_offload.offload(pipeline)
    assert pipeline.placed
    assert np.array_equal(pictures(generator), pictures(plain))
    order = [name for name, _ in moved]
    assert order[:3] == ["vae", "hint", "controlnet"] and order[-1] == "vae" and "unet" in order
    away = dict(moved)
    assert away["vae"] == ["controlnet", "hint", "unet"]
    assert away["hint"] == away["controlnet"] == away["unet"] == ["vae"]
    generator.close()


def test_sequential_offload_leaves_no_weight_on_the_device_between_layers(plain):
    generator = load_generator(RANDOM, {})
    sequential_cpu_offload.offload(generator.pipeline)
    held = [p.device.type for network in generator.pipeline.networks.values() for p in network.parameters()]
    assert set(held) == {"meta"} and generator.pipeline.placed
    assert np.array_equal(pictures(generator), pictures(plain))
    generator.close()


# -- the VAE's encoder


def encoder_is_there(pipeline) -> bool:
    return {p.device.type for p in pipeline.vae.encoder.parameters()} == {"cpu"}


def test_the_encoder_is_there_for_a_new_photo_only(plain):
    generator = load_generator(RANDOM, {"free_vae_encoder": {}})
    read = []
    real = generator.pipeline.read_vae_encoder
    generator.pipeline.read_vae_encoder = lambda dtype: read.append(dtype) or real(dtype)
    assert not encoder_is_there(generator.pipeline)
    assert np.array_equal(pictures(generator), pictures(plain))
    assert not encoder_is_there(generator.pipeline) and read == ["float32"]
    pictures(generator, num_inference_steps=2)
    assert read == ["float32"], "the photo was encoded already"
    pictures(generator, size=128)
    assert read == ["float32"] * 2
    generator.close()


def test_the_encoder_leaves_even_when_encoding_fails(monkeypatch):
    generator = load_generator(RANDOM, {"free_vae_encoder": {}})

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(generator.pipeline.vae, "encode", full)
    with pytest.raises(MemoryError):
        pictures(generator)
    assert not encoder_is_there(generator.pipeline)
    generator.close()


def test_an_encoder_that_cannot_be_read_again_is_not_dropped(pipeline):
    pipeline.read_vae_encoder = None
    with pytest.raises(LeverSkipped, match="no safetensors"):
        load("sdaug.levers", "free_vae_encoder").apply(pipeline)
    assert encoder_is_there(pipeline)


def test_a_vae_file_that_changed_since_is_an_error(pipeline):
    load("sdaug.levers", "free_vae_encoder").apply(pipeline)
    pipeline.read_vae_encoder = lambda _: {}
    with pytest.raises(RuntimeError, match="has changed since it was loaded"), pipeline.encoding():
        pass


# -- storage


def test_fp8_keeps_norms_hints_and_the_vae_as_they_are():
    generator = load_generator(RANDOM, {"fp8_storage": {}})
    pipeline = generator.pipeline
    for network in (pipeline.unet, pipeline.controlnet):
        for name, parameter in network.named_parameters():
            expected = torch.float32 if "norm" in name else torch.float8_e4m3fn
            assert parameter.dtype == expected, name
    assert {p.dtype for n in (pipeline.hint, pipeline.vae) for p in n.parameters()} == {torch.float32}
    before = {name: p.float().sum() for name, p in pipeline.unet.named_parameters()}
    pictures(generator)
    assert before == {name: p.float().sum() for name, p in pipeline.unet.named_parameters()}
    generator.close()


def test_a_tiny_vae_in_tiles_of_half_precision_stays_in_its_format():
    generator = load_generator(
        RANDOM, {"precision": {"dtype": "bfloat16"}, "tiny_vae": {}, "vae_tiling": {"tile": 128}}
    )
    assert {p.dtype for p in generator.pipeline.vae.parameters()} == {torch.bfloat16}
    assert len(generator.facts["sha256"]["vae"]) == 64
    assert pictures(generator, size=256).std() > 5
    generator.close()


# -- CUDA graphs, with something that only runs again in place of a real graph


def again(calls: list[str]):
    def record(run):
        calls.append("record")
        answer = run()

        def replay():
            calls.append("replay")
            answer[0].copy_(run()[0])

        return replay, answer

    return record


def test_a_recording_gets_todays_inputs_and_gives_an_answer_of_its_own():
    calls: list[str] = []
    captured = Captured(lambda x, *, more, scale: (x * scale + more[0],), again(calls), max_graphs=4)
    one, two = torch.ones(2, 3), torch.full((2, 3), 2.0)
    first = captured(one, more=[one], scale=3.0)[0]
    second = captured(two, more=[one], scale=3.0)[0]
    assert calls == ["record", "replay", "replay"]
    assert torch.equal(first, torch.full((2, 3), 4.0)) and torch.equal(second, torch.full((2, 3), 7.0))


def test_each_shape_format_and_constant_has_a_recording_and_the_oldest_go():
    calls: list[str] = []
    captured = Captured(lambda x, scale: (x * scale,), again(calls), max_graphs=2)
    for x, scale in ((torch.ones(2), 1.0), (torch.ones(3), 1.0), (torch.ones(2), 1.0), (torch.ones(2), 2.0)):
        assert torch.equal(captured(x, scale)[0], x * scale)
    assert calls.count("record") == 3 and len(captured.graphs) == 2
    captured(torch.ones(2), 1.0)
    assert calls.count("record") == 3, "used last but one, so still there"
    captured(torch.ones(3), 1.0)
    assert calls.count("record") == 4
    captured(torch.ones(3, dtype=torch.float64), 1.0)
    assert calls.count("record") == 5


def test_both_networks_run_as_recordings_and_are_themselves_again_once_closed(plain):
    generator = load_generator(RANDOM, {})
    calls: dict[str, list[str]] = {"unet": [], "controlnet": []}
    for name, seen in calls.items():
        network = getattr(generator.pipeline, name)

        def record(run, seen=seen):
            seen.append("record")
            return (lambda: None), run()

        network.forward = Captured(network.forward, record, 8)
    settings = dict(guidance_scale=5.0, guidance_end=0.5, control_guidance_end=0.75, hole_strength=1.0)
    pictures(generator, **settings)
    # UNet: guided with residuals, not guided with and without; ControlNet: guided and not.
    assert {name: len(seen) for name, seen in calls.items()} == {"unet": 3, "controlnet": 2}
    generator.close()


def test_cuda_graphs_need_cuda(pipeline):
    with pytest.raises(LeverSkipped, match="CUDA graphs need a CUDA device, not cpu"):
        load("sdaug.levers", "cuda_graphs").apply(pipeline)


# -- the figures in the levers' own descriptions, counted on the full size without weights


@pytest.fixture
def full_size() -> Pipeline:
    networks = {name: build(name, dtype=torch.float16) for name in ("unet", "controlnet", "vae")}
    return Pipeline(**networks, hint=None, scheduler=None, device=torch.device("meta"), dtype=torch.float16)


def decoding(vae) -> tuple[int, int]:
    """Operations, and the most memory, of decoding one picture of 512 px."""
    with torch.no_grad(), counting() as counter:
        vae.decode(torch.empty(1, 4, 64, 64, dtype=torch.float16, device="meta"), return_dict=False)
    return counter.flops, counter.peak_live_bytes


def test_tiles_of_256_decode_half_as_much_again_in_a_quarter_of_the_memory(full_size):
    flops, peak = decoding(full_size.vae)
    full_size.vae.enable_tiling()
    assert decoding(full_size.vae) == (flops, peak), "diffusers' own tile does nothing here"
    load("sdaug.levers", "vae_tiling").apply(full_size)
    tiled, less = decoding(full_size.vae)
    assert tiled / flops == pytest.approx(1.55, abs=0.02)
    assert less / peak == pytest.approx(0.25, abs=0.03)


def test_fp8_storage_nearly_halves_half_precision(full_size):
    before = weight_bytes(full_size.unet) + weight_bytes(full_size.controlnet)
    load("sdaug.levers", "fp8_storage").apply(full_size)
    after = weight_bytes(full_size.unet) + weight_bytes(full_size.controlnet)
    assert before == pytest.approx(2.44e9, rel=0.01)
    assert after / before == pytest.approx(0.5, abs=0.01)


def test_controlnet_is_a_quarter_of_a_step(full_size):
    full_size.controlnet.controlnet_cond_embedding = torch.nn.Identity()
    sizes = dict(dtype=torch.float16, device="meta")
    noise, prompts = torch.empty(1, 4, 64, 64, **sizes), torch.empty(1, 77, 768, **sizes)
    hints, moment = torch.empty(1, 320, 64, 64, **sizes), torch.empty((), dtype=torch.int64, device="meta")
    counted = []
    with torch.no_grad():
        for run in (
            lambda: full_size.controlnet(noise, moment, prompts, controlnet_cond=hints),
            lambda: full_size.unet(noise, moment, prompts),
        ):
            with counting() as counter:
                run()
            counted.append(counter.flops)
    assert counted[0] / sum(counted) == pytest.approx(0.25, abs=0.005)
