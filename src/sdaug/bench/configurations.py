"""`sdaug bench configurations`: each setting loaded in turn and run on one photo; time, memory, likeness."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sdaug.bench.floors import call_floor_s
from sdaug.bench.timing import Spent, check_floor
from sdaug.config import GenerationSettings, ModelSettings
from sdaug.diffusion.descent import forget_frames, out_of_memory
from sdaug.diffusion.generator import DiffusionGenerator, Generated, Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.weights import locate
from sdaug.levers import LeverSkipped
from sdaug.measure.board import watch_board
from sdaug.measure.memory import give_back, watch
from sdaug.measure.passes import passes
from sdaug.packs import FacePack, face_from_landmarks
from sdaug.plugins import names
from sdaug.recipes import RECIPES
from sdaug.synthesis.control import control_image
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES, Photo, PhotoError, Reason, View


@dataclass(frozen=True)
class Configuration:
    """levers, generation: as in RunSettings. expected: what the mission's table says of it, for comparison only."""

    name: str
    levers: dict[str, dict[str, Any]]
    generation: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)


def mission_configurations() -> list[Configuration]:
    """The four of the mission, with the figures it expects on a Jetson AGX Orin."""
    full: dict[str, Any] = {"num_inference_steps": 20, "guidance_scale": 7.5, "batch_size": 1}
    half: dict[str, dict[str, Any]] = {"precision": {"dtype": "float16"}}
    quick = RECIPES["quick"]
    # Prompts are encoded at loading, which the images' seconds leave out, and the random models have none.
    levers = {name: options for name, options in quick["levers"].items() if name != "prompt_cache"}
    return [
        Configuration("fp32", {"precision": {"dtype": "float32"}}, full, _expected(30, 6, 8.5, 1.0)),
        Configuration("fp16", half, full, _expected(28, 5.6, 4.2, 0.99)),
        Configuration(
            "fp16_slicing", half | {"attention_slicing": {}, "vae_slicing": {}}, full, _expected(12, 2.4, 3.1, 0.98)
        ),
        Configuration("optimised", half | levers, quick["generation"], _expected(10, 2, 3, 0.95)),
    ]


def _expected(five_s: float, image_s: float, peak_gb: float, quality: float) -> dict[str, float]:
    return {"images_s": five_s, "image_s": image_s, "peak_gb": peak_gb, "similarity": quality}


def every_lever() -> list[Configuration]:
    """No lever, then each lever alone at its defaults, in float16 where there is a GPU and float32 elsewhere."""
    import torch

    dtype = "float16" if torch.cuda.is_available() else "float32"
    few: dict[str, Any] = {"num_inference_steps": 10, "guidance_scale": 7.5}
    base: dict[str, dict[str, Any]] = {"precision": {"dtype": dtype}}
    alone = [Configuration(name, base | {name: {}}, few) for name in names("sdaug.levers") if name != "precision"]
    others = [Configuration(kind, {"precision": {"dtype": kind}}, few) for kind in ("float32", "bfloat16")]
    return [Configuration("none", base, few), *[c for c in others if c.name != dtype], *alone]


@dataclass(frozen=True)
class Row:
    """What one configuration did. skipped: why it did not run; everything measured is then None.

    first_s: the first batch, which the rest leaves out (warm-up, compilation). images_s: calls of all images, the first
    of them for the pictures and in no figure. floor_s: what such a call takes at least, None where the device is not
    known. board: what it told meanwhile. similarity: to the first configuration's image of the same angle and seed, by
    recogniser, median; raw_similarity: the same before the photo's own pixels are put back.
    """

    configuration: Configuration
    skipped: str | None = None
    load_s: float | None = None
    first_s: float | None = None
    images_s: Spent | None = None
    floor_s: float | None = None
    board: dict[str, Any] | None = None
    peak: dict[str, int | None] | None = None
    similarity: dict[str, float] | None = None
    raw_similarity: dict[str, float] | None = None
    facts: dict[str, Any] | None = None

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.configuration.name,
            "levers": self.configuration.levers,
            "generation": self.configuration.generation,
            "expected": self.configuration.expected or None,
            "skipped": self.skipped,
            "load_s": self.load_s,
            "first_s": self.first_s,
            "images_s": None if self.images_s is None else self.images_s.report(),
            "floor_s": self.floor_s,
            "board": self.board,
            "peak_bytes": self.peak,
            "similarity": self.similarity,
            "raw_similarity": self.raw_similarity,
            "facts": self.facts,
        }


def bench_configurations(
    photo: Photo,
    pack: FacePack,
    model: ModelSettings,
    configurations: Sequence[Configuration],
    images: int = 5,
    size: int = 512,
    rounds: int = 3,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[Row]:
    """Each configuration loaded, warmed up with one batch and run on the first `images` angles of `photo`, once for the
    pictures and `rounds` times for the clock.

    The first configuration that runs is what the others' images are compared with. One whose lever does not apply here,
    or that needs more memory than there is, is a row with its reason. Raises WeightsError before anything is loaded
    where there are no weights, PhotoError where there is no face, ImpossibleTime where a call took less than it can.
    """
    locate(model)
    face = pack.largest(photo.pixels)
    if face is None:
        raise PhotoError(Reason.NO_FACE, "no face in the photo; expected one to turn")
    stage = set_stage(photo, face, pack.mesh)
    views = [turn(stage, pose) for pose in ANGLES[:images]]
    kind = model.drawn_control
    jobs = [Job(i, view, control_image(view.landmarks, len(view.image), kind)) for i, view in enumerate(views)]
    rows: list[Row] = []
    baseline: list[Generated] | None = None
    for number, configuration in enumerate(configurations):
        progress(configuration.name, number, len(configurations))
        try:
            row, made = _run(configuration, model, jobs, size, rounds)
        except LeverSkipped as skipped:
            rows.append(Row(configuration, skipped=str(skipped)))
            continue
        except Exception as error:
            if not out_of_memory(error):
                raise
            forget_frames(error)
            give_back()
            rows.append(Row(configuration, skipped=f"out of memory: {error}"))
            continue
        baseline = made if baseline is None else baseline
        rows.append(_compared(row, made, baseline, views, pack))
    progress("done", len(configurations), len(configurations))
    return rows


def _run(
    configuration: Configuration, model: ModelSettings, jobs: Sequence[Job], size: int, rounds: int
) -> tuple[Row, list[Generated]]:
    settings = GenerationSettings(**configuration.generation, size=size)
    with watch() as memory, watch_board() as looks:
        started = time.perf_counter()
        generator = load_generator(model, configuration.levers)
        load_s = time.perf_counter() - started
        try:
            started = time.perf_counter()
            list(generator.generate(jobs[: settings.batch_size or len(jobs)], settings))
            first_s = time.perf_counter() - started
            with passes() as seen:
                before, made = _called(generator, jobs, settings)
            spent = Spent(before, tuple(_called(generator, jobs, settings)[0] for _ in range(rounds)))
            facts, size = generator.facts, generator.settings_for(settings).size
        finally:
            generator.close()
    vae = "tiny" if "tiny_vae" in configuration.levers else "standard"
    floor_s = call_floor_s(
        seen, model, configuration.levers, size=size, dtype=facts["dtype"], device=facts["device"], vae=vae
    )
    check_floor(configuration.name, (spent.first, *spent.values), floor_s)
    board = looks.facts()
    return Row(configuration, None, load_s, first_s, spent, floor_s, board, memory.peaks, facts=facts), made


def _called(
    generator: DiffusionGenerator, jobs: Sequence[Job], settings: GenerationSettings
) -> tuple[float, list[Generated]]:
    """Seconds of a call on a photo that was not seen before, and what it made."""
    generator.sources.posteriors.clear()
    started = time.perf_counter()
    made = list(generator.generate(jobs, settings))
    return time.perf_counter() - started, made


def _compared(
    row: Row, made: Sequence[Generated], baseline: Sequence[Generated], views: Sequence[View], pack: FacePack
) -> Row:
    """Likeness at the landmarks that were asked for, so that it exists even where a face is hard to find."""
    if any(result.image is None for result in (*made, *baseline)):
        return row
    final = [(a.image, b.image) for a, b in zip(made, baseline, strict=True)]
    raw = [(a.diffused, b.diffused) for a, b in zip(made, baseline, strict=True)]
    return replace(row, similarity=_likeness(final, views, pack), raw_similarity=_likeness(raw, views, pack))


def _likeness(pairs: Sequence[tuple[Any, Any]], views: Sequence[View], pack: FacePack) -> dict[str, float]:
    medians = {}
    for recogniser in pack.recognisers:
        values = []
        for (ours, theirs), view in zip(pairs, views, strict=True):
            face = face_from_landmarks(view.landmarks, 0.0)
            values.append(recogniser.similarity(recogniser.embed(ours, face), recogniser.embed(theirs, face)))
        medians[recogniser.name] = float(np.median(values))
    return medians


def table(rows: Sequence[Row]) -> str:
    """Measured beside expected, one row a line; a dash is what was not measured here. The peak names its meter."""
    meter = _shown_meter(rows)
    widths = {"load s": 8, "first s": 8, "images s": 9, "expected": 9, "peak GB": 8}
    lines = [f"{'configuration':22} {' '.join(f'{title:>{width}}' for title, width in widths.items())}  similarity"]
    for row in rows:
        name = row.configuration.name
        if row.skipped is not None:
            lines.append(f"{name:22} skipped: {row.skipped}")
            continue
        expected, five_s = row.configuration.expected, None if row.images_s is None else row.images_s.p50
        peak = (row.peak or {}).get(meter or "")
        similarity = ", ".join(f"{k} {v:.3f}" for k, v in (row.similarity or {}).items()) or "-"
        figures = (row.load_s, row.first_s, five_s, expected.get("images_s"), peak and peak / 1e9)
        cells = [
            f"{'-' if value is None else format(value, '.2f'):>{width}}"
            for value, width in zip(figures, widths.values(), strict=True)
        ]
        lines.append(f"{name:22} {' '.join(cells)}  {similarity}")
    lines.append(f"peak GB: {meter or 'no meter of it is here'}; all meters are in --json")
    return "\n".join(lines)


def _shown_meter(rows: Sequence[Row]) -> str | None:
    """The first meter that every row which ran has: one column is of one meter. None without any."""
    ran = [row.peak for row in rows if row.peak]
    return next((name for name in (ran[0] if ran else ()) if all(one.get(name) is not None for one in ran)), None)
