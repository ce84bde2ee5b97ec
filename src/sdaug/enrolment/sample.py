"""One entry of the manifest's `samples`: an image that was considered, kept or refused."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from sdaug.config import Config
from sdaug.enrolment.layout import image_path
from sdaug.types import Pose, QualityScore, Reason, Rung

Origin = Literal["captured", "classical", "generated"]
"""A photo, an image made without a generative model, an image that diffusion had a part in."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class Record(Config):
    """Base of what the manifest holds: frozen, unknown keys refused, nothing converted from another type."""

    model_config = ConfigDict(strict=True)


class SampleFacts(Record):
    """What is known of a sample before its stored bytes are embedded."""

    role: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_+-]{0,63}$")]
    origin: Origin
    parent_sha256: Sha256
    requested: Pose | None
    measured: Pose | None
    rung: Rung | None
    degraded: tuple[Reason, ...]
    similarity: dict[str, float]
    quality: dict[str, QualityScore]
    reasons: tuple[Reason, ...]


class SampleRecord(SampleFacts):
    """One sample as the manifest lists it. `row` of the embeddings, or None for a refused one, which has no pixels."""

    decision: Literal["accepted", "refused"]
    synthetic: bool
    row: Annotated[int, Field(ge=0)] | None
    image_sha256: Sha256 | None
    image: str | None

    @model_validator(mode="after")
    def _agrees(self) -> "SampleRecord":
        if self.synthetic != (self.origin != "captured"):
            raise ValueError(f"synthetic is {self.synthetic} for origin {self.origin!r}")
        if self.decision == "refused":
            if self.row is not None or self.image is not None or self.image_sha256 is not None:
                raise ValueError("a refused sample has no row, no image and no image digest")
            if not self.reasons:
                raise ValueError("a refused sample says why: reasons is empty")
        elif self.row is None or self.image_sha256 is None:
            raise ValueError("an accepted sample has a row and an image digest")
        elif self.image not in (None, image_path(self.row, self.role)):
            raise ValueError(f"image is {self.image!r}, expected {image_path(self.row, self.role)!r} or null")
        return self
