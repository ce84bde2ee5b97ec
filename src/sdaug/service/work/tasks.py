"""The tasks of a worker: which there are, and the one augmentor they share."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import RunSettings
from sdaug.enrol import generator_facts
from sdaug.gate import load_measures
from sdaug.service.work.decoding import decode_upload
from sdaug.service.work.describing import described
from sdaug.service.work.enrolment import enrol, failure_word
from sdaug.service.work.faults import faults, warning
from sdaug.service.work.portrait import cut_portrait
from sdaug.service.work.status import facts
from sdaug.service.work.variations import read_ahead
from sdaug.service.work.views import Step, cohort_of, degradation, make_views, quality_of, to_line, view_samples

Answer = tuple[dict[str, Any], list[bytes]]


class GeneratorFailed(RuntimeError):
    """The generator could not make one view."""


class Tasks:
    """setup: `run` (the fields of `RunSettings`), `pixels` (of one image at most), `varies` (bool: photos are enrolled
    with variations here, so often that a second process pays). The face pack is loaded at once, the diffusion model at
    the first task that generates."""

    def __init__(self, setup: dict[str, Any]):
        self._pixels = setup["pixels"]
        self._augmentor = GenerativeAugmentor(settings=RunSettings.model_validate(setup["run"]))
        self._varying = described(self._augmentor.pack) if setup["varies"] else self._augmentor.pack
        warm = np.full((256, 256, 3), 127, np.uint8)
        self._augmentor.pack.faces(warm)
        read_ahead()

    def run(self, head: dict[str, Any], blobs: Sequence[bytes], step: Step) -> Answer:
        """The answer to one task, by its `kind`."""
        if head["kind"] == "enrol":
            return enrol(self._augmentor, self._varying, head, blobs, self._pixels, step)
        if head["kind"] == "preview":
            return self._preview(head, blobs, step)
        if head["kind"] == "embed":
            return self._embed(blobs[0], step)
        if head["kind"] == "status":
            return facts(self._augmentor), []
        raise ValueError(f"unknown task {head['kind']!r}; there are: embed, enrol, preview, status")

    def _embed(self, data: bytes, step: Step) -> Answer:
        """The vector of the one face in a photo, for a comparison."""
        photo = decode_upload(data, self._pixels)
        step("decoded", photo=0)
        pack = self._augmentor.pack
        portrait = cut_portrait(photo, pack, self._augmentor.settings.min_source_face_px)
        vector = pack.recognisers[0].embed(portrait.pixels, portrait.face)
        return {"dim": len(vector)}, [np.ascontiguousarray(vector, "<f4").tobytes()]

    def _preview(self, head: dict[str, Any], blobs: Sequence[bytes], step: Step) -> Answer:
        """Views of one photo for a person to look at; the blobs are the PNGs of the accepted ones."""
        photo = decode_upload(blobs[0], self._pixels)
        step("decoded", photo=0)
        portrait = cut_portrait(photo, self._augmentor.pack, self._augmentor.settings.min_source_face_px)
        measures = load_measures(self._augmentor.settings.gate.measures)
        quality = {name: measure.measure(portrait.pixels, portrait.face) for name, measure in measures.items()}
        try:
            others = cohort_of(self._augmentor, head, blobs)
            record = make_views(self._augmentor, photo, head["angles"], others, step)
        except Exception as error:
            raise GeneratorFailed(failure_word(error)) from error
        samples = view_samples(self._augmentor, photo, record)
        lines = [to_line(sample) for sample in samples]
        step("finalizing", text="Finalizing...")
        answer = {
            "photo_sha256": photo.sha256,
            "views": [{"facts": facts, "image": image is not None, "quality": quality_of(self._augmentor, sample)}
                      for (facts, image), sample in zip(lines, samples, strict=True)],
            "generation_s": round(record.timings["total_s"], 3),
            "degraded": degradation(samples),
            "warnings": warning(0, faults(measures, quality)),
            "generator": generator_facts(record),
            "cohort": record.source["cohort"],
        }  # fmt: skip
        return answer, [image for _, image in lines if image is not None]
