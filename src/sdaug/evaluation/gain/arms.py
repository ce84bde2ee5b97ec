"""What each arm of the gain evaluation puts beside the enrolled photo."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from sdaug.config import GateSettings, GenerationSettings, ModelSettings
from sdaug.evaluation.gain.faceset import Person, Sample
from sdaug.evaluation.gain.fusion import VIEW_YAWS, Extra, turned_deg
from sdaug.gate import open_gate
from sdaug.ladder import Diffuse, climb_down
from sdaug.packs import FacePack
from sdaug.synthesis.control import control_image
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import AngleResult, Face, Pose, View

JITTERS = 4
"""Placebo copies of the source: as many vectors as views are typically kept, and nothing new in them."""


def vectors(pack: FacePack, image: np.ndarray, face: Face) -> dict[str, np.ndarray]:
    """The face's vector (D,) per recogniser name."""
    return {r.name: r.embed(image, face) for r in pack.recognisers}


def _seen(pack: FacePack, image: np.ndarray) -> list[Extra]:
    face = pack.largest(image)
    return [] if face is None else [Extra(vectors(pack, image, face))]


def flip(person: Person, pack: FacePack) -> list[Extra]:
    """The source mirrored."""
    return _seen(pack, np.ascontiguousarray(person.source.photo.pixels[:, ::-1]))


def jitter(person: Person, pack: FacePack) -> list[Extra]:
    """The source, shifted, turned in the plane, made brighter or darker, blurred and noised a little; seeded."""
    rng = np.random.default_rng(0)
    pixels = person.source.photo.pixels
    height, width = pixels.shape[:2]
    extras = []
    for _ in range(JITTERS):
        place = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-5, 5), rng.uniform(0.95, 1.05))
        place[:, 2] += rng.uniform(-0.02, 0.02, 2) * [width, height]
        moved = cv2.warpAffine(pixels, place, (width, height), borderMode=cv2.BORDER_REPLICATE)
        moved = cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.3, 1.5)).astype(np.float64)
        moved = moved * rng.uniform(0.85, 1.15) + rng.normal(0, 3, moved.shape)
        extras += _seen(pack, np.clip(moved.round(), 0, 255).astype(np.uint8))
    return extras


def ceiling(person: Person, pack: FacePack) -> list[Extra]:
    """The real photos beside the source."""
    others = [sample for sample in person.ceiling if sample is not person.source]
    return [Extra(vectors(pack, s.photo.pixels, s.face)) for s in others if s.face is not None]


Diffusing = Callable[[Sequence[View]], Diffuse]
"""Views in the order of their indices -> what makes them by diffusion."""


def views(person: Person, pack: FacePack, gate: GateSettings, diffusing: Diffusing | None = None) -> list[Extra]:
    """The source's head turned to every |yaw| of VIEW_YAWS, both ways, at the source's own pitch, judged by the gate.

    The head is turned about the vertical only: a photo says where the camera was, and that is where probes come from.
    With `diffusing`, diffusion works on each view and what the gate refuses stays refused: nothing falls back to the
    warp, which is an arm of its own. Views in which no face is found have no vector and are left out.
    """
    source = person.source
    assert source.face is not None and source.face.pose is not None
    judge = open_gate(pack, gate, source.photo.pixels, source.face)
    stage = set_stage(source.photo, source.face, pack.mesh)
    yaws = [sign * yaw for yaw in VIEW_YAWS for sign in (1, -1)]
    turned = [turn(stage, Pose(yaw, source.face.pose.pitch_deg)) for yaw in yaws]
    diffuse = None if diffusing is None else diffusing(turned)
    extras = []
    for index, view in enumerate(turned):
        result = climb_down(index, view, judge, diffuse, (), time.perf_counter(), strict=diffuse is not None)
        judge = judge.including(result)
        if result.judgement.vectors:
            extras.append(_extra(result, view, source))
    return extras


def _extra(result: AngleResult, view: View, source: Sample) -> Extra:
    low, high = view.landmarks[:, :2].min(0), view.landmarks[:, :2].max(0)
    (x0, y0), (x1, y1) = np.clip(low, 0, None).astype(int), np.clip(high, 1, None).astype(int)
    assert source.face is not None and source.face.pose is not None
    return Extra(
        dict(result.judgement.vectors),
        view.pose.yaw_deg,
        turned_deg(view.pose, source.face.pose),
        float(view.valid[y0:y1, x0:x1].mean()),
        result.accepted,
        tuple(reason.value for reason in result.judgement.reasons),
    )


def wrong_person(views_of: Sequence[Sequence[Extra]]) -> list[list[Extra]]:
    """To each subject the views of the next one that has any accepted: what the gate is there to keep out."""
    count = len(views_of)
    donors = [[views_of[(s + step) % count] for step in range(1, count)] for s in range(count)]
    return [next((list(own) for own in others if any(e.accepted for e in own)), []) for others in donors]


def ungated(views_of: Sequence[Sequence[Extra]]) -> list[list[Extra]]:
    """The views as if the gate had accepted all of them: what the gate costs or saves."""
    return [[replace(extra, accepted=True) for extra in own] for own in views_of]


def diffusion(model: ModelSettings, generation: GenerationSettings) -> tuple[Diffusing, Callable[[], None]]:
    """The diffusion of `views`, and what frees it. Raises WeightsError where the weights are not to be had; what goes
    wrong at an angle is raised, for an arm with silent holes would be compared with whole ones."""
    from sdaug.batches import Batches
    from sdaug.diffusion.generator import Job
    from sdaug.diffusion.load import load_generator

    generator = load_generator(model, {})

    def diffusing(turned: Sequence[View]) -> Diffuse:
        controls = [control_image(view.landmarks, len(view.image), model.drawn_control) for view in turned]
        jobs = [Job(i, view, control) for i, (view, control) in enumerate(zip(turned, controls, strict=True))]
        return Batches(generator, jobs, generation)

    return diffusing, generator.close
