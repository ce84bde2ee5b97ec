"""An int8 engine: calibrated on a few photos' views, and its loss of likeness measured on others' noise."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.choice import choose_face
from sdaug.config import GenerationSettings, ModelSettings
from sdaug.diffusion.engine_build import (
    Progress,
    check_disk,
    check_free,
    export_engine,
    load_on_cpu,
    written_whole,
)
from sdaug.diffusion.generator import DiffusionGenerator, Generated, Job
from sdaug.diffusion.load import load_generator
from sdaug.diffusion.recording import record_calls
from sdaug.engine.attach import open_networks
from sdaug.engine.fingerprint import network_sha256
from sdaug.engine.manifest import Engine, EngineError, check_weights, read_engine, write_manifest
from sdaug.engine.network import OnnxNetwork
from sdaug.engine.numerics import Case, difference
from sdaug.engine.processor import int8_instructions
from sdaug.engine.quantise import Quantisation, int8_share, quantise
from sdaug.packs import FacePack
from sdaug.synthesis.control import control_image
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES, Photo

CALIBRATION = GenerationSettings(num_inference_steps=20, guidance_scale=7.5, guidance_end=0.5, batch_size=1)
"""Half of the steps guided, so that the networks are seen at both prompts, with ControlNet throughout."""


def build_int8_engine(
    model: ModelSettings,
    folder: Path,
    photos: Sequence[Photo],
    pack: FacePack,
    *,
    exact: Path | None = None,
    how: Quantisation | None = None,
    settings: GenerationSettings = CALIBRATION,
    progress: Progress = lambda _: None,
) -> Engine:
    """Writes an int8 engine of the weights that `model` names into `folder`, which must be free or empty.

    photos: of different people, each with one face; their views calibrate. What int8 costs is measured on the same
    views with other noise, and stands in the manifest under `quantisation`. exact: a float32 engine of these weights;
    None exports one and drops it. settings: how the views are made.
    Raises `EngineError`, `PhotoError`, and `WeightsError`.
    """
    check_free(folder)
    if not photos:
        raise EngineError("no photo to calibrate with; int8 needs at least one, better several people's")
    if model.face_id is not None:
        raise EngineError("int8 cannot be calibrated with a face adapter yet; leave face_id unset")
    how = how or Quantisation()
    jobs = calibration_jobs(photos, pack, model, settings)
    with written_whole(folder) as draft, tempfile.TemporaryDirectory(prefix="sdaug-", dir=draft.parent) as scratch:
        if exact is None:
            exact = Path(scratch, "float")
            exact.mkdir()
            pipeline = load_on_cpu(model, progress)
            check_disk(folder, pipeline, 6)
            engine = export_engine(pipeline, model, exact, "float32", progress)
            del pipeline
        else:
            engine = read_engine(exact)
            if engine.precision != "float32":
                raise EngineError(f"{exact} is a {engine.precision} engine; int8 is made of a float32 one")
        generator = load_generator(model, {})
        try:
            for name in engine.graphs:
                check_weights(engine, exact, name, network_sha256(getattr(generator.pipeline, name)))
            progress(f"making {len(jobs)} views to calibrate with")
            recorded, _ = record_calls(generator, jobs, settings, Path(scratch, "seen"))
            graphs = {}
            for name, graph in engine.graphs.items():
                progress(f"quantising {name}")
                graphs[name] = quantise(graph, exact, recorded[name], draft, how)
            engine = replace(engine, precision="int8", unet=graphs["unet"], controlnet=graphs["controlnet"])
            progress("measuring what it costs")
            cost = _cost(generator, engine, draft, jobs, settings, Path(scratch, "held-out"), pack)
        finally:
            generator.close()
        report = {
            "method": how.model_dump(mode="json"),
            "int8_share": {name: int8_share(draft / graph.file, how) for name, graph in engine.graphs.items()},
            "calibration": {
                "photos_sha256": [photo.sha256 for photo in photos],
                "views": len(jobs),
                "settings": settings.model_dump(mode="json"),
                "calls": {name: min(len(files), how.samples) for name, files in recorded.items()},
            },
            "cost": cost,
            "measured_on": {"provider": "cpu", "int8_instructions": int8_instructions()},
        }
        engine = replace(engine, quantisation=report)
        write_manifest(draft, engine)
    return engine


def calibration_jobs(
    photos: Sequence[Photo], pack: FacePack, model: ModelSettings, settings: GenerationSettings
) -> list[Job]:
    """The views of every photo, each photo's at the angles that `settings.num_angles` says, numbered throughout."""
    jobs = []
    for photo in photos:
        face, _ = choose_face(pack.faces(photo.pixels), "largest", 0.0)
        stage = set_stage(photo, face, pack.mesh)
        for pose in ANGLES[: settings.num_angles]:
            view = turn(stage, pose)
            drawn = control_image(view.landmarks, len(view.image), model.drawn_control)
            jobs.append(Job(len(jobs), view, drawn))
    return jobs


def _cost(
    generator: DiffusionGenerator,
    engine: Engine,
    folder: Path,
    jobs: Sequence[Job],
    settings: GenerationSettings,
    scratch: Path,
    pack: FacePack,
) -> dict[str, Any]:
    """What int8 changes, with noise it was not calibrated on: each answer by itself, and whole images."""
    other = settings.model_copy(update={"seed": settings.seed + 1})
    recorded, exact = record_calls(generator, jobs, other, scratch)
    pipeline = generator.pipeline
    theirs = {"unet": pipeline.unet, "controlnet": pipeline.controlnet}
    opened = open_networks(folder, engine, {name: network.config for name, network in theirs.items()}, "cpu", "cpu")
    try:
        errors = {name: _answer_errors(theirs[name], opened[name], recorded[name]) for name in theirs}
        pipeline.unet, pipeline.controlnet = opened["unet"], opened["controlnet"]
        coarse = list(generator.generate(jobs, other))
    finally:
        pipeline.unet, pipeline.controlnet = theirs["unet"], theirs["controlnet"]
        for network in opened.values():
            network.close()
    return {"relative_error": errors, "images": _image_loss(exact, coarse, pack)}


def _answer_errors(network: Any, engine: OnnxNetwork, files: Sequence[Path], most: int = 32) -> dict[str, Any]:
    """Norm of the difference over the norm of PyTorch's answer, for recorded calls spread over the steps."""
    import torch

    picked = [files[i] for i in np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int)]
    found = []
    for path in picked:
        with np.load(path, allow_pickle=False) as arrays:
            inputs = {name: torch.from_numpy(arrays[name]).to(network.device) for name in arrays.files}
        with torch.no_grad():
            answers = [_call(each, dict(inputs)) for each in (engine, network)]
        found.append(difference("", Case(0, 0, 0), *answers).relative)
    return {"median": float(np.median(found)), "worst": max(found), "calls": len(found)}


def _call(network: Any, inputs: dict[str, Any]) -> list[Any]:
    sample, timestep, text = (inputs.pop(name) for name in ("sample", "timestep", "encoder_hidden_states"))
    if "controlnet_cond" in inputs:
        scale = float(inputs.pop("conditioning_scale"))
        down, middle = network(
            sample, timestep[0], encoder_hidden_states=text, conditioning_scale=scale, return_dict=False, **inputs
        )
        return [*down, middle]
    *down, middle = (inputs[name] for name in sorted(inputs))
    return [
        network(
            sample,
            timestep[0],
            encoder_hidden_states=text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
    ]


def _image_loss(exact: Sequence[Generated], coarse: Sequence[Generated], pack: FacePack) -> dict[str, Any]:
    """`final` pictures and the `diffused` ones in them: int8's beside float's. null where none could be measured."""
    loss: dict[str, Any] = {"n": len(exact)}
    for which, attribute in (("final", "image"), ("diffused", "diffused")):
        pairs = [(getattr(a, attribute), getattr(b, attribute)) for a, b in zip(exact, coarse, strict=True)]
        pairs = [(a, b) for a, b in pairs if a is not None and b is not None]
        decibels = [value for a, b in pairs if (value := psnr_db(a, b)) is not None]
        loss[which] = {
            "pictures": len(pairs),
            "psnr_db": {"median": _median(decibels), "worst": min(decibels, default=None)},
            "similarity": {each.name: _likeness(pairs, pack, each) for each in pack.recognisers},
        }
    return loss


def psnr_db(a: np.ndarray, b: np.ndarray) -> float | None:
    """Peak signal to noise ratio of two uint8 images in dB; None where they are equal.

    >>> round(psnr_db(np.zeros(4, np.uint8), np.full(4, 255, np.uint8)), 1)
    0.0
    """
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return None if error == 0 else float(10 * np.log10(255.0**2 / error))


def _likeness(pairs: Sequence[tuple[np.ndarray, np.ndarray]], pack: FacePack, recogniser: Any) -> dict[str, Any]:
    """The recogniser's similarity of both pictures of a view, over the views where it finds a face in both."""
    found = []
    for a, b in pairs:
        faces = pack.largest(a), pack.largest(b)
        if faces[0] is not None and faces[1] is not None:
            found.append(float(recogniser.similarity(recogniser.embed(a, faces[0]), recogniser.embed(b, faces[1]))))
    return {"n": len(found), "median": _median(found), "worst": min(found, default=None)}


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None
