"""`sdaug bench pipeline`: our loop beside diffusers' stock pipeline, on the same weights, in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sdaug.bench.counted import STOCK, recipe
from sdaug.bench.floors import call_floor_s
from sdaug.bench.forwards import Forwards, forwards
from sdaug.bench.peers import peer_calls
from sdaug.bench.pipeline_report import RATIOS, Batches, Picture, PipelineBench, five_angles
from sdaug.bench.stock import stock_image, stock_pipeline
from sdaug.bench.timing import check_floor
from sdaug.config import GenerationSettings, ModelSettings
from sdaug.costmodel.architecture import build
from sdaug.diffusion.components import Components
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.diffusion.libraries import import_libraries
from sdaug.diffusion.load import assemble, choose_device, encoded_prompts, install
from sdaug.diffusion.source import SourceCache
from sdaug.diffusion.weights import load_components
from sdaug.levers import LeverSkipped, torch_compile
from sdaug.measure.board import watch_board
from sdaug.measure.clock import paired_ratio
from sdaug.measure.environment import provenance
from sdaug.measure.memory import watch
from sdaug.plugins import load as load_plugin
from sdaug.types import Pose, View

Progress = Callable[[str, int, int], None]


def fastest_levers(device: Any) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Those that leave the picture as it is but for its last bits, for a CPU or a GPU; and why one of them is not to be
    had on this machine, by its name."""
    levers: dict[str, dict[str, Any]] = {
        "cpu": {"torch_compile": {"freezing": True}},
        "cuda": {"precision": {"dtype": "float16"}, "channels_last": {}, "torch_compile": {"regional": False}},
    }[device.type]
    try:
        torch_compile.check_compiler(device)
    except LeverSkipped as skipped:
        del levers["torch_compile"]
        return levers, {"torch_compile": str(skipped)}
    return levers, {}


def bench_pipeline(
    model: ModelSettings,
    levers: dict[str, dict[str, Any]] | None = None,
    *,
    rounds: int = 3,
    steps: int | None = None,
    size: int = 512,
    progress: Progress = lambda what, done, total: None,
) -> PipelineBench:
    """Each round makes images by stock's pipeline, by ours, and as stock's users speed it up (`peers.py`), one
    after the other, after one round that is not counted.

    model: "random-sd15" for the real size. levers: for our pipeline alone, by default those of `fastest_levers` that
    apply here; precision is stock's too. steps: of the baseline's 20 that are run, by default 2 on a CPU and all on a
    GPU; all passes of a kind cost the same, so the others are added up. On a CPU our recommended calls make two images
    at once, so that the UNet sees as many as in a guided step and is compiled once; on a GPU ours make five.
    Raises `WeightsError`, `LeverSkipped` for a lever that was asked for and does not apply, and `ImpossibleTime`.
    """
    total = rounds + 2
    progress("weights", 0, total)
    started = time.perf_counter()
    import_s = import_libraries()
    device, _ = choose_device(model.device)
    origin = provenance()
    levers, skipped = fastest_levers(device) if levers is None else (levers, {})
    on_gpu = device.type == "cuda"
    steps = steps or (STOCK.num_inference_steps if on_gpu else 2)
    batches = Batches(5, 5) if on_gpu else Batches(1, 2)
    loading = time.perf_counter()
    parts = load_components(model, levers.get("precision", {}).get("dtype", "float32"))
    prompts = encoded_prompts(parts, None)
    parts = replace(parts, prompt_embeds=prompts.positive, negative_prompt_embeds=prompts.negative)
    for network in (parts.unet, parts.controlnet, parts.vae):  # before the twins, which then share what is there
        network.to(device)
    pipe = stock_pipeline(parts, device)
    generator = _ours(parts, levers, device)
    tiny = _with_tiny_vae(generator)
    load_s = time.perf_counter() - loading
    jobs = [any_job(size, index) for index in range(max(batches.same_settings, batches.quick))]
    same = STOCK.model_copy(update={"num_inference_steps": steps, "size": size})
    quick = recipe("quick", size)
    theirs: list[Picture] = []
    ours: list[Picture] = []
    peaks: dict[str, dict[str, int | None]] = {}

    def once(same: GenerationSettings, quick: GenerationSettings) -> dict[str, Forwards]:
        calls: dict[str, Callable[[], Forwards]] = {
            "stock": lambda: _stock_call(pipe, parts, jobs[0], same, theirs),
            "same_settings": lambda: _our_call(generator, jobs[: batches.same_settings], same, ours),
            "quick": lambda: _our_call(tiny, jobs[: batches.quick], quick, []),
            **peer_calls(pipe, same, lambda pipe, asked: _stock_call(pipe, parts, jobs[0], asked, [])),
        }
        return {name: _with_peaks(call, name, peaks) for name, call in calls.items()}

    measured = []
    try:
        progress("warm-up", 1, total)
        # A step of each kind is all it takes to compile, and to do whatever else is done only once.
        one_step = {"num_inference_steps": 1, "control_guidance_end": 1.0}
        with_and_without = {"num_inference_steps": 2, "control_guidance_end": 0.5, "hole_strength": 1.0}
        first = once(same.model_copy(update=one_step), quick.model_copy(update=with_and_without))
        with watch_board() as looks:
            for number in range(rounds):
                progress("rounds", number + 2, total)
                measured.append(once(same, quick))
    finally:
        generator.close()
        tiny.close()
    floors = {name: _floor_s(call, name, model, levers, size, generator) for name, call in measured[0].items()}
    for name, floor_s in floors.items():
        check_floor(name, [one[name].seconds for one in measured], floor_s)
    seconds = [five_angles(one, steps, batches) for one in measured]
    stock = [one["stock"] for one in seconds]
    ratios = {name: paired_ratio([one[variant] for one in seconds], stock) for name, variant in RATIOS.items()}
    # Of the shortest calls, where what is not a network weighs most.
    overhead = tuple(one["quick"].stages["outside"] / one["quick"].seconds for one in measured)
    # The first of our batch is stock's: the same photo, index and seed.
    difference = int(np.abs(theirs[-1].levels.astype(int) - ours[0].levels).max())
    decoded = float((theirs[-1].decoded - ours[0].decoded).abs().max())
    return PipelineBench(
        rounds=tuple(measured),
        measured_steps=steps,
        batches=batches,
        ratios=ratios,
        overhead=overhead,
        difference=difference,
        decoded_difference=decoded,
        measured_peaks=peaks,
        floors=floors,
        before={"import": import_s, "load": load_s, "first_call": {name: one.seconds for name, one in first.items()}},
        board=looks.facts(),
        facts=generator.facts | {"levers_skipped": skipped, "model_id": model.model_id, "sha256": dict(parts.digests)},
        provenance=origin,
        wall_s=time.perf_counter() - started,
    )


def _with_peaks(call: Callable[[], Forwards], name: str, peaks: dict[str, dict[str, int | None]]) -> Forwards:
    """The call, and the peaks of memory during it. Everything else that is loaded is in them: stock's pipeline shares
    our weights, but holds its own VAE beside the tiny one."""
    with watch() as memory:
        made = call()
    peaks[name] = memory.peaks
    return made


def _floor_s(
    call: Forwards,
    variant: str,
    model: ModelSettings,
    levers: dict[str, dict[str, Any]],
    size: int,
    generator: DiffusionGenerator,
) -> float | None:
    """What the passes of `call` take at least."""
    seen: dict[str, int] = {}
    for one in call.passes:
        if one.stage in ("unet", "controlnet", "decode"):
            seen[one.stage] = seen.get(one.stage, 0) + one.images
    pipeline = generator.pipeline
    dtype, device = str(pipeline.dtype).removeprefix("torch."), str(pipeline.device)
    vae = "tiny" if variant == "quick" else "standard"
    return call_floor_s(seen, model, levers, size=size, dtype=dtype, device=device, vae=vae)


def _ours(parts: Components, levers: dict[str, dict[str, Any]], device: Any) -> DiffusionGenerator:
    pipeline = assemble(parts, device)
    chosen = [load_plugin("sdaug.levers", name, options) for name, options in levers.items()]
    try:
        install(pipeline, chosen)
    except BaseException:
        pipeline.put_back()
        raise
    facts = {"levers": {name: options for name, options in levers.items()}, "dtype": str(pipeline.dtype)}
    return DiffusionGenerator(pipeline, parts.prompt_embeds, parts.negative_prompt_embeds, facts)


def _with_tiny_vae(generator: DiffusionGenerator) -> DiffusionGenerator:
    """The same UNet and ControlNet beside a TAESD-sized VAE with random weights."""
    own = generator.pipeline
    vae = build("tiny_vae", device="cpu", dtype=own.dtype).to(own.device)
    return replace(generator, pipeline=replace(own, vae=vae), sources=SourceCache())


def _our_call(
    generator: DiffusionGenerator, jobs: Sequence[Job], settings: GenerationSettings, images: list[Picture]
) -> Forwards:
    generator.sources.posteriors.clear()
    pipeline = generator.pipeline
    stages = {
        "encode": (pipeline.vae, "encode"),
        "hint": (pipeline, "hint"),
        "controlnet": (pipeline, "controlnet"),
        "unet": (pipeline, "unet"),
        "decode": (pipeline.vae, "decode"),
    }
    with forwards(stages, pipeline.device, keep="decode") as seen:
        made = list(generator.generate(jobs, settings))
    for result, decoded in zip(made, _decoded(seen), strict=True):
        if result.diffused is None:
            raise RuntimeError(f"the benchmark's own image failed: {result.message}")
        images.append(Picture(result.diffused, decoded))
    del images[: -len(made)]
    return seen


def _stock_call(
    pipe: Any, parts: Components, job: Job, settings: GenerationSettings, images: list[Picture]
) -> Forwards:
    stages = {
        "encode": (pipe.vae, "encode"),
        "controlnet": (pipe.controlnet, "forward"),
        "unet": (pipe.unet, "forward"),
        "decode": (pipe.vae, "decode"),
    }
    with forwards(stages, pipe.device, keep="decode") as seen:
        made = stock_image(pipe, parts, job.view.image, job.control_image, settings, job.index)
    images.append(Picture(made, _decoded(seen)[0]))
    return seen


def _decoded(seen: Forwards) -> Any:
    """(B, 3, S, S) of the call's only decoding, taken out of `seen`, off the GPU."""
    (answer,) = seen.kept.pop()
    return answer.float().cpu()


def any_job(size: int, index: int) -> Job:
    """A picture of nothing in particular, all of it to be made: what it shows costs nothing."""
    rng = np.random.default_rng(index)
    image, control = (rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(2))
    unseen = np.zeros((size, size), np.float32)
    return Job(index, View(Pose(0, 0), image, unseen, unseen == 0, np.zeros((478, 3), np.float32)), control)
