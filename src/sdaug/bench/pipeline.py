"""`sdaug bench pipeline`: our loop beside diffusers' stock pipeline, on the same weights, in turn."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sdaug.bench.counted import STOCK, counted_peaks, counted_ratios, recipe, recipe_evaluations
from sdaug.bench.forwards import Forwards, forwards
from sdaug.bench.stock import stock_image, stock_pipeline
from sdaug.config import GenerationSettings, ModelSettings
from sdaug.costmodel.architecture import build
from sdaug.diffusion.components import Components
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.diffusion.load import assemble, choose_device, install
from sdaug.diffusion.source import SourceCache
from sdaug.diffusion.weights import load_components
from sdaug.measure.clock import Ratio, paired_ratio
from sdaug.measure.environment import environment
from sdaug.plugins import load as load_plugin
from sdaug.recipes import RECIPES
from sdaug.types import Pose, View

ANGLES = 5
RECOMMENDED = {"ratio_recommended_5": "quick", "ratio_recommended_10": "balanced"}

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PipelineBench:
    """rounds: for each, what one image cost, by variant. measured_steps: of the baseline's 20; the rest is added up
    from the passes that ran. ratios: ours / stock, for the same five angles."""

    rounds: tuple[dict[str, Forwards], ...]
    measured_steps: int
    ratios: dict[str, Ratio]
    overhead: tuple[float, ...]
    facts: dict[str, Any]

    def report(self) -> dict[str, Any]:
        """The report of `sdaug bench pipeline`, JSON-able."""
        return {
            "schema": "sdaug.bench.pipeline/1",
            **{name: asdict(ratio) for name, ratio in self.ratios.items()},
            "overhead_fraction": _spread(self.overhead),
            "peak_gb": counted_peaks(),
            "baseline": {
                "pipeline": "StableDiffusionControlNetImg2ImgPipeline, an image a call",
                "settings": STOCK.model_dump(),
                "five_angles_s": _spread([_five_angles(one, self.measured_steps)["stock"] for one in self.rounds]),
            },
            "five_angles_s": {
                name: _spread([_five_angles(one, self.measured_steps)[name] for one in self.rounds])
                for name in ("same_settings", "quick", "balanced")
            },
            "counted_ratio": counted_ratios(),
            "stages_s": {
                name: {
                    stage: {"mean": float(np.mean(values)), "n": len(values)}
                    for stage, values in _by_stage([one[name] for one in self.rounds]).items()
                }
                for name in self.rounds[0]
            },
            "method": (
                f"{self.measured_steps} of the baseline's {STOCK.num_inference_steps} steps were run, the others added "
                f"at the mean cost of those; 'balanced' is 'quick' with its further passes added; five angles are "
                f"{ANGLES} times one. Ratios are ours / stock, median of {len(self.rounds)} pairs run in turn"
            ),
            "levers": self.facts["levers"],
            "dtype": self.facts["dtype"],
            "recipes": RECIPES,
            "environment": environment(),
        }


def bench_pipeline(
    model: ModelSettings,
    levers: dict[str, dict[str, Any]],
    *,
    rounds: int = 3,
    steps: int = 2,
    size: int = 512,
    progress: Progress = lambda what, done, total: None,
) -> PipelineBench:
    """Each round makes an image four ways, one after the other, after one round that is not counted.

    model: "random-sd15" for the real size. levers: those that change no pixel beyond 1e-4, for our pipeline alone.
    steps: of the baseline's 20 that are run; all passes of a kind cost the same, so the others are added up.
    """
    total = rounds + 2
    progress("weights", 0, total)
    device, _ = choose_device(model.device)
    parts = load_components(model)
    pipe = stock_pipeline(parts, device)
    generator = _ours(parts, levers, device)
    tiny = _with_tiny_vae(generator)
    job = _job(size)
    same = STOCK.model_copy(update={"num_inference_steps": steps, "size": size})
    quick = recipe("quick", size)
    calls: dict[str, Callable[[], Forwards]] = {
        "stock": lambda: _stock_call(pipe, parts, job, same),
        "same_settings": lambda: _our_call(generator, job, same),
        "quick": lambda: _our_call(tiny, job, quick),
    }
    done: list[dict[str, Forwards]] = []
    for number in range(rounds + 1):
        progress("warm-up" if number == 0 else "rounds", number + 1, total)
        # Compiling and other first-time work belong to no round.
        done.append({name: call() for name, call in calls.items()})
    generator.close()
    tiny.close()
    measured = tuple(done[1:])
    seconds = [_five_angles(one, steps) for one in measured]
    stock = [one["stock"] for one in seconds]
    ratios = {
        name: paired_ratio([one[variant] for one in seconds], stock)
        for name, variant in {"ratio_same_settings": "same_settings", **RECOMMENDED}.items()
    }
    # Of the shortest calls, where what is not a network weighs most.
    overhead = tuple(one["quick"].stages["outside"] / one["quick"].seconds for one in measured)
    return PipelineBench(measured, steps, ratios, overhead, generator.facts)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"value": float(np.median(values)), "low": float(min(values)), "high": float(max(values))}


def _by_stage(calls: Sequence[Forwards]) -> dict[str, list[float]]:
    names = dict.fromkeys(forward.stage for call in calls for forward in call.passes)
    return {name: [s for call in calls for s in call.of(name)] for name in names}


def _five_angles(measured: dict[str, Forwards], steps: int) -> dict[str, float]:
    """Seconds for five angles, one at a time, by variant, each step beyond those that ran at a step's mean cost."""
    left = STOCK.num_inference_steps - steps
    whole = {name: measured[name].seconds + left * _step_s(measured[name]) for name in ("stock", "same_settings")}
    quick = measured["quick"]
    few, more = recipe_evaluations("quick"), recipe_evaluations("balanced")
    unet, controlnet = (float(np.mean(quick.of(stage))) for stage in ("unet", "controlnet"))
    balanced = (more.unet - few.unet) * unet + (more.controlnet - few.controlnet) * controlnet
    whole |= {"quick": quick.seconds, "balanced": quick.seconds + balanced}
    return {name: ANGLES * seconds for name, seconds in whole.items()}


def _step_s(call: Forwards) -> float:
    return sum(float(np.mean(call.of(stage))) for stage in ("unet", "controlnet"))


def _ours(parts: Components, levers: dict[str, dict[str, Any]], device: Any) -> DiffusionGenerator:
    pipeline = assemble(parts, device)
    chosen = [load_plugin("sdaug.levers", name, options) for name, options in levers.items()]
    install(pipeline, chosen)
    facts = {"levers": {name: options for name, options in levers.items()}, "dtype": str(pipeline.dtype)}
    return DiffusionGenerator(pipeline, parts.prompt_embeds, parts.negative_prompt_embeds, facts)


def _with_tiny_vae(generator: DiffusionGenerator) -> DiffusionGenerator:
    """The same UNet and ControlNet beside a TAESD-sized VAE with random weights."""
    own = generator.pipeline
    vae = build("tiny_vae", device="cpu", dtype=own.dtype).to(own.device)
    return replace(generator, pipeline=replace(own, vae=vae), sources=SourceCache())


def _our_call(generator: DiffusionGenerator, job: Job, settings: GenerationSettings) -> Forwards:
    generator.sources.posteriors.clear()
    pipeline = generator.pipeline
    stages = {
        "encode": (pipeline.vae, "encode"),
        "hint": (pipeline, "hint"),
        "controlnet": (pipeline, "controlnet"),
        "unet": (pipeline, "unet"),
        "decode": (pipeline.vae, "decode"),
    }
    with forwards(stages, pipeline.device) as seen:
        (made,) = generator.generate([job], settings)
    if made.failure is not None:
        raise RuntimeError(f"the benchmark's own image failed: {made.message}")
    return seen


def _stock_call(pipe: Any, parts: Components, job: Job, settings: GenerationSettings) -> Forwards:
    stages = {
        "encode": (pipe.vae, "encode"),
        "controlnet": (pipe.controlnet, "forward"),
        "unet": (pipe.unet, "forward"),
        "decode": (pipe.vae, "decode"),
    }
    with forwards(stages, pipe.device) as seen:
        stock_image(pipe, parts, job.view.image, job.control_image, settings, job.index)
    return seen


def _job(size: int) -> Job:
    """A picture of nothing in particular, all of it to be made: what it shows costs nothing."""
    rng = np.random.default_rng(0)
    image, control = (rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(2))
    unseen = np.zeros((size, size), np.float32)
    return Job(0, View(Pose(0, 0), image, unseen, unseen == 0, np.zeros((478, 3), np.float32)), control)
