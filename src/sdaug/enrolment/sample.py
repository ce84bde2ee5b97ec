"""One entry of the manifest's `samples`: an image that was considered, kept or refused."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from sdaug.config import Config
from sdaug.enrolment.layout import image_path, zoned_time
from sdaug.types import Pose, QualityScore, Reason, Rung

Origin = Literal["captured", "classical", "generated"]
"""A photo, an image made without a generative model, an image that diffusion had a part in."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Time = Annotated[str, AfterValidator(zoned_time)]
Decision = Literal["accepted", "refused"]


class Record(Config):
    """Base of what the manifest holds: frozen, unknown keys refused, nothing converted from another type."""

    model_config = ConfigDict(strict=True)


class SampleFacts(Record):
    """What is known of a sample before its stored bytes are embedded.

    rules: the reasons each acceptance rule has, whichever decided. checks: the figures they compared, None = not
    measured. not_evaluated: the checks that could not be made. reviewed, reviewed_at: what a person said, and when.
    """

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
    rules: dict[str, tuple[Reason, ...]]
    checks: dict[str, float | None]
    not_evaluated: tuple[str, ...]
    reviewed: Decision | None
    reviewed_at: Time | None


class SampleRecord(SampleFacts):
    """One sample as the manifest lists it. `row` of the embeddings, or None for a refused one, which has no pixels."""

    decision: Decision
    synthetic: bool
    row: Annotated[int, Field(ge=0)] | None
    image_sha256: Sha256 | None
    image: str | None

    @model_validator(mode="after")
    def _agrees(self) -> "SampleRecord":
        if self.synthetic != (self.origin != "captured"):
            raise ValueError(f"synthetic is {self.synthetic} for origin {self.origin!r}")
        if (self.reviewed is None) != (self.reviewed_at is None):
            raise ValueError(f"reviewed is {self.reviewed!r}, but reviewed_at is {self.reviewed_at!r}")
        if self.reviewed == "refused" and self.decision == "accepted":
            raise ValueError("a sample that its reviewer refused is not accepted")
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
