"""Everybody's templates in memory, and comparison with them: one person or all, with and without added templates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdaug.recognition.dlib_resnet import SAME_PERSON_DISTANCE
from sdaug.service.people import Templates

COHORT = 2000
"""At most so many other people are compared with each generated view."""


@dataclass(frozen=True)
class Score:
    """How alike a probe is to a person: the best of `templates` templates, on the recogniser's own scale."""

    similarity: float
    templates: int


@dataclass(frozen=True)
class Candidate:
    """A person a probe was compared with: by the photos' templates alone, by all but those diffusion had a part in, and
    by all."""

    person_id: str
    without_augmentation: Score
    without_sd: Score
    with_augmentation: Score


class Index:
    """Everybody's templates. Changed by the event loop, read by threads: a reader sees the people as they were."""

    def __init__(self, people: Mapping[str, Templates], recogniser_sha256: str, metric: str):
        self.recogniser_sha256, self._metric = recogniser_sha256, metric
        self._people = dict(people)

    def __len__(self) -> int:
        return len(self._people)

    def put(self, person_id: str, kept: Templates) -> None:
        """From now on this person is compared with."""
        self._people[person_id] = kept

    def drop(self, person_id: str) -> None:
        """From now on not; the vectors are gone from memory."""
        self._people.pop(person_id, None)

    @property
    def not_comparable(self) -> int:
        """People whose templates are another recogniser's."""
        return len(self._people) - len(self._comparable())

    def _comparable(self) -> list[tuple[str, Templates]]:
        return [item for item in list(self._people.items()) if item[1].recogniser_sha256 == self.recogniser_sha256]

    def compare(self, probe: np.ndarray, person_id: str | None = None) -> list[Candidate]:
        """The candidates, most alike with augmentation first. probe: (D,) float32. Raises KeyError for an unknown
        person, ValueError for one whose templates are another recogniser's."""
        if person_id is None:
            chosen = self._comparable()
        elif self._people[person_id].recogniser_sha256 == self.recogniser_sha256:
            chosen = [(person_id, self._people[person_id])]
        else:
            raise ValueError("this person was enrolled with another recogniser")
        found = [self._candidate(name, kept, probe) for name, kept in chosen]
        return sorted(found, key=lambda c: -c.with_augmentation.similarity)

    def _candidate(self, person_id: str, kept: Templates, probe: np.ndarray) -> Candidate:
        scores = similarities(probe, kept.vectors, self._metric)
        arms = [("captured",), ("captured", "classical"), ("captured", "classical", "generated")]
        chosen = [scores[[origin in arm for origin in kept.origins]] for arm in arms]
        return Candidate(person_id, *(Score(float(arm.max()), len(arm)) for arm in chosen))

    def captured(self, most: int) -> np.ndarray:
        """One vector of a photo of each of at most `most` people, (N, D) float32: a cohort."""
        rows = [kept.vectors[kept.origins.index("captured")] for _, kept in self._comparable()]
        return np.stack(rows[-most:]) if rows else np.zeros((0, 0), np.float32)

    def cohort(self) -> tuple[int, list[bytes]]:
        """How many people a view is compared with, and the blob of their vectors as a worker takes it, if any."""
        rows = self.captured(COHORT)
        return len(rows), [np.ascontiguousarray(rows, "<f4").tobytes()] if len(rows) else []

    def alike(self, vectors: np.ndarray, at_least: float) -> list[tuple[str, float]]:
        """People one of whose photos is at least this similar to one of `vectors` (N, D), the most alike first."""
        found: dict[str, float] = {}
        for name, kept in self._comparable():
            photos = kept.vectors[[origin == "captured" for origin in kept.origins]]
            best = max(float(similarities(vector, photos, self._metric).max()) for vector in vectors)
            if best >= at_least:
                found[name] = best
        return sorted(found.items(), key=lambda item: -item[1])


def similarities(probe: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    """Of a probe (D,) to each row of (N, D), as the recogniser of that metric reports it."""
    if metric == "cosine":
        return rows @ probe
    return 1.0 - np.linalg.norm(rows - probe, axis=1) / SAME_PERSON_DISTANCE
