"""GenerativeAugmentor: one photo in, the same person at up to ten poses out. All that most users need."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from sdaug import plugins
from sdaug.choice import choose_face
from sdaug.cohort import Cohort, without_subject
from sdaug.config import Config, GenerationSettings, ModelSettings, RunSettings, default_precision
from sdaug.face.photo import photo_from_array
from sdaug.gate import Gate, load_measures, open_gate, overall
from sdaug.ladder import climb_down
from sdaug.measure.environment import environment
from sdaug.measure.memory import give_back, meters, watch
from sdaug.measure.passes import passes
from sdaug.measure.stages import stage, stages
from sdaug.packs import FacePack, check_pack, load_pack
from sdaug.synthesis.control import control_image
from sdaug.synthesis.stage import Stage, set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES, AngleResult, Augmentation, Face, Photo, Pose, View

if TYPE_CHECKING:
    from sdaug.batches import Batches
    from sdaug.diffusion.obtain import Obtained

log = logging.getLogger("sdaug")

Progress = Callable[[int, int], None]
"""Called with (angles done, angles asked for)."""


class GenerativeAugmentor:
    """Turns one photo of a person into the same person at up to ten head poses, each measured, kept or refused.

    model_id: a hub id, a folder in diffusers layout, or "random" (a small seeded model whose pictures are noise).
    use_fp16: half precision, on a GPU only. device: "cuda" or "cpu"; without a GPU the CPU is used in float32, recorded
    and warned of once. settings: everything else, see `RunSettings`; its model id, precision and device are replaced by
    the first three arguments where those are given.

    Heavy parts are loaded at first use. Not thread-safe: one augmentor a thread.
    """

    def __init__(
        self,
        model_id: str | None = None,
        use_fp16: bool | None = None,
        device: str | None = None,
        *,
        settings: RunSettings | None = None,
    ):
        chosen = settings or RunSettings()
        given = {"model_id": model_id, "device": device}
        model = ModelSettings.model_validate(
            chosen.model.model_dump() | {k: v for k, v in given.items() if v is not None}
        )
        levers = dict(chosen.levers)
        self._precision_is_ours = use_fp16 is not None or "precision" not in levers
        if self._precision_is_ours:
            levers["precision"] = default_precision(model.device, use_fp16 is not False)
        self.settings = _checked(chosen.model_copy(update={"model": model, "levers": levers}))
        self._pack: FacePack | None = None
        self._loaded: Obtained | None = None

    def generate_angles(self, image: np.ndarray, num_angles: int = 5) -> list[np.ndarray]:
        """The accepted images, in angle order, possibly fewer than asked for, each from its best rung.

        image: (H, W, 3) uint8 BGR, any size. Returns (512, 512, 3) uint8 BGR each. Raises ValueError for `num_angles`
        outside 1 to 10, for no face and for more than one; RuntimeError when not one image could be made.
        """
        record = self.augment(photo_from_array(_rgb(image)), num_angles=num_angles)
        if not record.accepted:
            reasons = {reason.value for angle in record.angles for reason in angle.judgement.reasons}
            raise RuntimeError(f"none of {num_angles} angles was accepted: {', '.join(sorted(reasons))}")
        return [np.ascontiguousarray(angle.image[..., ::-1]) for angle in record.accepted if angle.image is not None]

    def augment(
        self,
        photo: Photo,
        *,
        num_angles: int | None = None,
        face: int | str | None = None,
        seed: int | None = None,
        cohort: Cohort | None = None,
        progress: Progress | None = None,
    ) -> Augmentation:
        """The whole record of one photo's angles, refused ones included.

        face: which one where there are several: an index from the left, or "largest"; None refuses such a photo.
        cohort: other people, none of whom a view may be closer to than to this person; read with `read_cohort`.
        Raises PhotoError (a ValueError) for a photo that cannot be used, before anything slow is loaded.
        """
        with watch() as memory, stages() as seconds, passes() as seen:
            record = self._augment(photo, self._generation(num_angles, seed), face, cohort, progress)
        return replace(record, memory=meters() | memory.peaks, stages=seconds, passes=seen)

    def _augment(
        self,
        photo: Photo,
        generation: GenerationSettings,
        face: int | str | None,
        cohort: Cohort | None,
        progress: Progress | None,
    ) -> Augmentation:
        from sdaug.account import generator_facts, report, source_facts

        started = time.perf_counter()
        pack = self.pack
        with stage("landmarks"):
            faces = pack.faces(photo.pixels)
        source, alone = choose_face(faces, face, self.settings.min_source_face_px)
        timings = {"detect_s": time.perf_counter() - started}

        diffusion = self._diffusion(generation) if self.settings.backend == "diffusion" else None
        timings["import_s"] = 0.0 if diffusion is None else diffusion.import_s
        timings["load_s"] = 0.0 if diffusion is None else diffusion.load_s
        before = time.perf_counter()
        gate, others = self._gate(photo, source, cohort)
        with stage("head"):
            turned_from = set_stage(photo, source, self.pack.mesh)
        timings["stage_s"] = time.perf_counter() - before

        count = 0 if self.settings.backend == "none" else generation.num_angles
        turned = [_turned(turned_from, pose) for pose in ANGLES[:count]]
        own = gate.reference[self.pack.recognisers[0].name]
        diffuse = self._batches(diffusion, [view for view, _ in turned], generation, own)
        unavailable = () if diffusion is None else diffusion.unavailable
        untrained = diffuse is not None and diffuse.untrained
        angles: list[AngleResult] = []
        for index, (view, seconds) in enumerate(turned):
            began = time.perf_counter() - seconds
            strict = self.settings.strict
            angles.append(
                climb_down(index, view, gate, diffuse, unavailable, began, untrained=untrained, strict=strict)
            )
            gate = gate.including(angles[-1])
            if progress is not None:
                progress(index + 1, generation.num_angles)
        report(angles, diffusion)
        timings["angles_s"] = sum(angle.latency_s for angle in angles)
        timings["total_s"] = time.perf_counter() - started
        return Augmentation(
            source=source_facts(photo, source, gate) | {"only_face": alone, "cohort": others},
            pack=self.pack.facts,
            generator=generator_facts(self.settings, generation, diffusion),
            angles=tuple(angles),
            timings=timings,
            memory={},
            environment=environment(),
        )

    def assess_quality(self, image: np.ndarray) -> float:
        """How good `image` (H, W, 3) uint8 BGR is, 0..1: its weakest measure; 0.7 = at a threshold, 0 = no face."""
        pixels = photo_from_array(_rgb(image)).pixels
        face = self.pack.largest(pixels)
        if face is None:
            return 0.0
        return overall({n: m.measure(pixels, face) for n, m in load_measures(self.settings.gate.measures).items()})

    def configure(self, **settings: Any) -> None:
        """Replaces fields of `settings` (see `RunSettings`); what was loaded under other settings is freed.

        A field that is itself a configuration takes a dictionary of the parts to change:
        `configure(generation={"num_inference_steps": 4})`; `levers` is replaced whole.
        """
        merged = self.settings.model_dump()
        for name, value in settings.items():
            parts = isinstance(value, dict) and isinstance(getattr(self.settings, name, None), Config)
            merged[name] = merged[name] | value if parts else value
        new = _checked(RunSettings(**merged))
        if "levers" in settings:
            self._precision_is_ours = False
        old, self.settings = self.settings, new
        if (old.model, old.levers) != (new.model, new.levers):
            self._close_generator()
        if old.pack != new.pack:
            self._close_pack()

    def load(self) -> float:
        """Loads face pack and generator now instead of at first use; returns the seconds it took."""
        started = time.perf_counter()
        _ = self.pack
        if self.settings.backend == "diffusion":
            self._diffusion()
        return time.perf_counter() - started

    def cleanup(self) -> None:
        """Gives the memory back. The augmentor stays usable and loads again at its next use."""
        self._close_generator()
        self._close_pack()
        give_back()

    def _close_generator(self) -> None:
        if self._loaded is not None:
            self._loaded.close()
        self._loaded = None

    def _close_pack(self) -> None:
        if self._pack is not None:
            self._pack.close()
        self._pack = None

    @property
    def pack(self) -> FacePack:
        """The face pack, loaded at first use."""
        if self._pack is None:
            self._pack = load_pack(self.settings.pack)
            log.info("face pack %s: %s", self._pack.name, ", ".join(self._pack.facts["recognisers"]))
        return self._pack

    def _generation(self, num_angles: int | None, seed: int | None) -> GenerationSettings:
        given = {"num_angles": num_angles, "seed": seed}
        for name, value in given.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
                raise ValueError(f"{name} must be a whole number, got {value!r}")
        if num_angles is not None and not 1 <= num_angles <= len(ANGLES):
            raise ValueError(f"num_angles must be 1 to {len(ANGLES)}, got {num_angles}")
        chosen = self.settings.generation.model_dump() | {k: v for k, v in given.items() if v is not None}
        return GenerationSettings.model_validate(chosen)

    def _gate(self, photo: Photo, source: Face, cohort: Cohort | None) -> tuple[Gate, dict[str, Any] | None]:
        """The gate for `source`, and what the record says of the cohort: None where there is none."""
        gate = open_gate(self.pack, self.settings.gate, photo.pixels, source)
        if cohort is None:
            return gate, None
        vector = gate.reference[self.pack.recognisers[0].name]
        others, facts = without_subject(cohort, self.pack, photo.sha256, vector)
        return replace(gate, cohort=others.vectors), facts

    def _batches(
        self, diffusion: "Obtained | None", views: list[View], generation: GenerationSettings, own: np.ndarray
    ) -> "Batches | None":
        """What makes these angles by diffusion; None where it is not asked for or not to be had.

        own: the source's vector by the pack's own recogniser.
        """
        from sdaug.batches import Batches
        from sdaug.diffusion.generator import Job

        if diffusion is None or diffusion.generator is None:
            return None
        kind = self.settings.model.drawn_control
        with stage("control"):
            jobs = [Job(i, view, control_image(view.landmarks, len(view.image), kind)) for i, view in enumerate(views)]
        steered = diffusion.generator.adapters.embedding_dim is not None
        # An adapter wants unit length, which ArcFace's vectors have and dlib's have not.
        identity = diffusion.generator.identity(own / np.linalg.norm(own)) if steered else None
        if diffusion.fit is not None:
            generation = generation.model_copy(update={"batch_size": diffusion.fit.batch_size})
        return Batches(diffusion.generator, jobs, generation, identity, self.settings.strict)

    def _diffusion(self, generation: GenerationSettings | None = None) -> "Obtained":
        """The generator for a call with these settings, loaded once; without weights or memory the reasons instead, or
        the error under `strict`."""
        from sdaug.diffusion.obtain import obtain

        asked = {"generation": generation or self.settings.generation, "levers": self._levers_here()}
        face_dim = self.pack.recognisers[0].dim if self.settings.model.face_id else None
        # Not ours while it is looked at: what will not do is closed, whatever comes of the next one.
        loaded, self._loaded = self._loaded, None
        self._loaded = obtain(self.settings.model_copy(update=asked), face_dim, loaded)
        return self._loaded

    def _levers_here(self) -> dict[str, dict[str, Any]]:
        """The levers, with half precision taken back where `use_fp16` asked for it and there is no GPU."""
        import torch

        if self._precision_is_ours and not torch.cuda.is_available():
            return self.settings.levers | {"precision": {"dtype": "float32"}}
        return self.settings.levers


def _checked(settings: RunSettings) -> RunSettings:
    """`settings`, unless a lever or a quality measure is unknown (PluginError), before anything slow is loaded."""
    check_pack(settings.pack)
    load_measures(settings.gate.measures | settings.gate.reported)
    for name, options in settings.levers.items():
        plugins.load("sdaug.levers", name, options)
    return settings


def _turned(turned_from: Stage, pose: Pose) -> tuple[View, float]:
    """The view, and the seconds it took."""
    started = time.perf_counter()
    with stage("warp"):
        view = turn(turned_from, pose)
    return view, time.perf_counter() - started


def _rgb(image: np.ndarray) -> np.ndarray:
    """The public API's BGR array as RGB, checked."""
    return photo_from_array(image).pixels[..., ::-1]
