"""What the gain evaluation compares: vectors of enrolment samples and probes, whatever they came from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sdaug.evaluation.gain.fusion import Extra
from sdaug.evaluation.gain.trials import Trials

Similarity = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Recogniser:
    """How vectors of one recogniser compare. unit: all vectors are of length 1 and `similarity` is their product."""

    name: str
    similarity: Similarity
    unit: bool


@dataclass(frozen=True)
class Probe:
    """vectors: (D,) per recogniser name. bin: of its |yaw|."""

    vectors: Mapping[str, np.ndarray]
    bin: str


@dataclass(frozen=True)
class Material:
    """S subjects and what is known of them.

    recognisers: the pack's own first. sources: per subject, (D,) per recogniser name. extras: per arm, per subject, the
    samples beside the source; or a sentence why the arm could not be had. probes: per subject, those with a face.
    lost: probes without a face, by bin. offered: views made a subject, the faceless ones included.
    """

    recognisers: tuple[Recogniser, ...]
    subjects: tuple[str, ...]
    sources: Sequence[Mapping[str, np.ndarray]]
    extras: Mapping[str, Sequence[Sequence[Extra]] | str]
    probes: Sequence[Sequence[Probe]]
    lost: Mapping[str, int] = field(default_factory=dict)
    offered: int = 0

    @cached_property
    def owner(self) -> np.ndarray:
        """(P,) int, the subject of each probe."""
        return np.repeat(np.arange(len(self.probes)), [len(own) for own in self.probes])

    @cached_property
    def bins(self) -> np.ndarray:
        """(P,) str, the bin of each probe."""
        return np.array([probe.bin for own in self.probes for probe in own])

    @cached_property
    def _probe_vectors(self) -> dict[str, np.ndarray]:
        probes = [probe for own in self.probes for probe in own]
        return {r.name: np.array([p.vectors[r.name] for p in probes], np.float64) for r in self.recognisers}

    def row(self, template: np.ndarray, recogniser: Recogniser) -> np.ndarray:
        """(P,) scores of one template (D,) against every probe."""
        probes = self._probe_vectors[recogniser.name]
        return probes @ template if recogniser.unit else np.array([recogniser.similarity(template, p) for p in probes])

    def trials(self, templates: Sequence[np.ndarray], recogniser: Recogniser) -> Trials:
        """One template a subject against every probe."""
        return Trials(np.array([self.row(template, recogniser) for template in templates]), self.owner)
