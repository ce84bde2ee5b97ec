"""What `manifest.json` holds and what must agree inside it. The writer and the verifier share this one definition."""

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from sdaug.enrolment.coverage import Coverage, PoseMap, coverage, pose_map
from sdaug.enrolment.layout import EMBEDDINGS, SCHEMA, canonical_json, strict_json, zoned_time
from sdaug.enrolment.sample import Record, SampleRecord, Sha256, Text, Time


def subject_id(value: str) -> str:
    """`value` itself. Raises ValueError where it cannot be a subject's id."""
    if not 1 <= len(value) <= 128:
        raise ValueError(f"subject must be an opaque id of 1 to 128 characters, not {len(value)}")
    if not value.isprintable() or value != value.strip() or set(value) & set("/\\") or value in {".", ".."}:
        raise ValueError(
            f"subject {value!r} must be an opaque id: no path separators, control or invisible characters, "
            "no space at either end, not '.' or '..'"
        )
    return value


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError(f"{value!r} must be printable text without space at either end")
    return value


def _day_or_time(value: str) -> str:
    zoned_time(f"{value}T00:00:00Z" if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) else value)
    return value


class Part(BaseModel):
    """Something that took part: it has a name, and whatever else it says about itself is kept."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")
    name: Text


class VersionedPart(Part):
    version: Text


class Recogniser(Part):
    """Whose vectors these are. `cosine` vectors have unit norm, `euclidean` ones are raw and never normalised."""

    sha256: Sha256
    dim: Annotated[int, Field(ge=1)]
    metric: Literal["cosine", "euclidean"]
    normalised: bool

    @model_validator(mode="after")
    def _norms(self) -> "Recogniser":
        if self.normalised != (self.metric == "cosine"):
            raise ValueError(f"normalised is {self.normalised}, but metric {self.metric!r} means the opposite")
        return self


class Consent(Record):
    """On what ground the person is enrolled. reference: where the consent is kept, not its text. time: when it was
    given. controller: who answers for the data."""

    purpose: Text
    legal_basis: Text
    reference: Text | None = None
    time: Time | None = None
    controller: Text | None = None


class FileFact(Record):
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class Person(Record):
    """Who is enrolled, when, on what ground and for how long."""

    subject: Annotated[str, AfterValidator(subject_id)]
    label: Annotated[Text, AfterValidator(_printable)] | None = None
    created: Time
    consent: Consent | None
    retention_until: Annotated[str, AfterValidator(_day_or_time)] | None

    @model_validator(mode="after")
    def _order(self) -> "Person":
        if self.retention_until is not None and self.retention_until[:10] < self.created[:10]:
            raise ValueError(f"retention_until {self.retention_until} lies before created {self.created}")
        return self


class Header(Person):
    """Who, when, by what and under which rules: everything but the samples."""

    format: Literal["sdaug.enrolment/1"] = Field(SCHEMA, alias="schema")
    tool: VersionedPart
    config_hash: Text | None
    recogniser: Recogniser
    detector: Part
    generator: VersionedPart
    policy: dict[str, Any]
    evaluation: dict[str, Any] | None = None
    pose_convention: Literal["ISO/IEC 39794-5"] = "ISO/IEC 39794-5"
    signer: Sha256 | None = None

    def tensor_facts(self) -> dict[str, str]:
        """What the tensor file repeats, so that vectors parted from their manifest still say whose they are."""
        r = self.recogniser
        return {"schema": SCHEMA, "recogniser": r.name, "recogniser_sha256": r.sha256, "metric": r.metric}


class Manifest(Header):
    """The whole of `manifest.json`."""

    samples: tuple[SampleRecord, ...]
    pose_coverage: tuple[Coverage, ...]
    pose_map: PoseMap
    files: dict[str, FileFact]

    @property
    def accepted(self) -> tuple[SampleRecord, ...]:
        """The samples with a row, in row order."""
        return tuple(s for s in self.samples if s.row is not None)

    @model_validator(mode="after")
    def _agrees(self) -> "Manifest":
        faults = []
        rows = [s.row for s in self.accepted]
        if rows != list(range(len(rows))):
            faults.append(f"rows are {rows}, expected 0 to {len(rows) - 1} in order")
        if not any(s.origin == "captured" for s in self.accepted):
            faults.append("no captured sample is accepted; an enrolment rests on at least one real photo")
        photos = {s.parent_sha256 for s in self.samples if s.origin == "captured"}
        orphans = [s.role for s in self.samples if s.parent_sha256 not in photos]
        if orphans:
            faults.append(f"samples {orphans} come from a photo that is not among the captured samples")
        if self.pose_coverage != coverage(self.samples):
            faults.append("pose_coverage is not the measured poses of the accepted samples")
        if self.pose_map != pose_map(self.pose_coverage):
            faults.append("pose_map is not the map of pose_coverage")
        images = {s.image: s.image_sha256 for s in self.accepted if s.image is not None}
        for path in sorted(set(self.files) ^ {EMBEDDINGS, *images}):
            faults.append(f"files {'lists' if path in self.files else 'lacks'} {path!r}, unlike the samples")
        for path, sha256 in images.items():
            if path in self.files and self.files[path].sha256 != sha256:
                faults.append(f"image_sha256 of {path!r} differs from files")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def to_bytes(self) -> bytes:
        """The canonical bytes of `manifest.json`."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))


RecordT = TypeVar("RecordT", bound=BaseModel)


def parse(model: type[RecordT], data: bytes) -> RecordT:
    """Read JSON bytes as `model`. ValueError names every field that is wrong, with what was expected."""
    strict_json(data)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        raise ValueError("; ".join(f"{where}: {what}" if where else what for where, what in found)) from error


def parse_manifest(data: bytes) -> Manifest:
    """Read `manifest.json`; ValueError unless these are the canonical bytes of a valid manifest."""
    found = strict_json(data)
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"schema is {schema!r}, this reader knows {SCHEMA!r}")
    manifest = parse(Manifest, data)
    if manifest.to_bytes() != data:
        raise ValueError("not in canonical form (sorted keys, two spaces, no field the schema lacks)")
    return manifest
