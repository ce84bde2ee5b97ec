"""Multipart forms: read into memory (no temporary file of a face), checked field by field, described for OpenAPI."""

import asyncio
import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from sdaug.config import Config
from sdaug.service.errors import ApiError, field_error
from sdaug.service.names import MAX_NAME, NATIONAL_ID, NationalId, PersonName, plain_text
from sdaug.service.pictures import check_name, sniff

MAX_TEXT = 64 * 1024
READ_S = 60.0
"""Seconds a client may take to send a whole form."""

PREVIEW_ID = r"^[0-9a-f]{32}$"


Said = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(plain_text)]
"""A line that somebody wrote."""


def _numbers(value: Any) -> Any:
    """`accepted` as browsers and curl send it: "0,2,4", or the field once for each."""
    if isinstance(value, str):
        value = [value]
    parts = [part.strip() for text in value or () for part in str(text).split(",")]
    return tuple(part for part in parts if part)


class PersonForm(Config):
    """What both ways to enrol ask of a person."""

    name: PersonName = Field(
        description="The person's name.",
        examples=["Ayesha Khan"],
        json_schema_extra={"minLength": 1, "maxLength": MAX_NAME},
    )
    cnic: NationalId = Field(
        description="National id: kept as a keyed hash, its last four characters are shown.",
        examples=["35202-1234567-1"],
        json_schema_extra={"pattern": NATIONAL_ID},
    )
    use_augmentation: bool = Field(
        True, description="Nine traditional variations of each photo (light, rotation, ...)."
    )
    use_sd_augmentation: bool = Field(False, description="Views of other head poses by Stable Diffusion.")
    consent_purpose: Said | None = Field(
        None, description="What the person is enrolled for. With `legal_basis`; both go into the bundle."
    )
    legal_basis: Said | None = Field(None, description="On what ground, such as `explicit consent`.")
    consent_reference: Said | None = Field(None, description="Where the consent is kept; not its text.")
    retention_days: int | None = Field(
        None, ge=1, le=36_500, description="Days after which the person is deleted, no more than the service keeps."
    )

    @model_validator(mode="after")
    def _consent_is_whole(self) -> "PersonForm":
        if (self.consent_purpose is None) != (self.legal_basis is None):
            raise ValueError("consent_purpose and legal_basis belong together")
        if self.consent_reference is not None and self.consent_purpose is None:
            raise ValueError("consent_reference wants consent_purpose and legal_basis beside it")
        return self

    @property
    def consent(self) -> dict[str, str] | None:
        """As the bundle's manifest has it."""
        if self.consent_purpose is None or self.legal_basis is None:
            return None
        given = {"purpose": self.consent_purpose, "legal_basis": self.legal_basis}
        return given if self.consent_reference is None else given | {"reference": self.consent_reference}


class EnrolForm(PersonForm):
    """The fields of `POST /api/enroll`."""

    sd_num_angles: int = Field(5, ge=1, le=10, description="How many views.")
    preview_id: str | None = Field(
        None, pattern=PREVIEW_ID, description="A finished preview: its accepted views are enrolled, none is generated."
    )
    accepted: Annotated[tuple[int, ...], BeforeValidator(_numbers)] | None = Field(
        None, description="Of the preview's views, those to enrol, by index: `0,2,4`. Unset: all that passed the gate."
    )

    @model_validator(mode="after")
    def _of_a_preview(self) -> "EnrolForm":
        if self.accepted is not None and self.preview_id is None:
            raise ValueError("accepted says which views of a preview to enrol; expected preview_id beside it")
        return self


class EnrolMultipleForm(PersonForm):
    """The fields of `POST /api/enroll/multiple`."""

    sd_num_angles: int = Field(3, ge=1, le=5, description="How many views of each photo.")


class PreviewForm(Config):
    """The fields of `POST /api/previews`."""

    sd_num_angles: int = Field(5, ge=1, le=10, description="How many views.")


class CompareForm(Config):
    """The fields of `POST /api/compare`."""

    person_id: str | None = Field(None, pattern=PREVIEW_ID, description="1:1 with this person; unset: 1:N.")
    top: int = Field(5, ge=1, le=50, description="1:N: how many candidates, the best first.")


TOGETHER = {
    "accepted": ["preview_id"],
    "consent_purpose": ["legal_basis"],
    "legal_basis": ["consent_purpose"],
    "consent_reference": ["consent_purpose", "legal_basis"],
}
"""Fields that want others beside them."""

FormT = TypeVar("FormT", bound=Config)


@dataclass(frozen=True)
class Upload:
    """A file's bytes, its format by content known to be one that is taken. Its name was checked and forgotten."""

    data: bytes


@dataclass(frozen=True)
class Sent:
    """A form's fields as they came, and the files under their field names, each with the name its client gave it."""

    fields: dict[str, Any]
    files: dict[str, list[tuple[str | None, bytes]]]


class _InMemory(MultiPartParser):
    spool_max_size = 2**40  # the guard limits the body; nothing of it is written to a disk


async def read_form(
    request: Request, form: type[FormT], file_field: str, image_bytes: int
) -> tuple[FormT, list[Upload]]:
    """The checked fields and the files in `file_field`. Raises ApiError: 400, 413, 415, 422."""
    sent = await _sent(request)
    if strange := sorted(set(sent.files) - {file_field}):
        raise ApiError(422, "unknown_field", f"{len(strange)} unknown file fields; expected {file_field!r}")
    if strange := sorted(set(sent.fields) - set(form.model_fields)):
        known = ", ".join((*form.model_fields, file_field))
        raise ApiError(422, "unknown_field", f"{len(strange)} unknown fields; there are: {known}")
    repeated = [k for k, v in sent.fields.items() if isinstance(v, list) and k != "accepted"]
    if repeated:
        raise ApiError(422, "invalid_field", f"{repeated[0]}: given more than once")
    try:
        fields = form.model_validate(sent.fields)
    except ValidationError as error:
        raise field_error(error) from None
    return fields, [_checked(name, data, image_bytes) for name, data in sent.files.get(file_field, [])]


def _checked(name: str | None, data: bytes, image_bytes: int) -> Upload:
    if len(data) > image_bytes:
        raise ApiError(413, "image_too_large", f"the file has {len(data)} bytes, at most {image_bytes} are taken")
    check_name(name, sniff(data))
    return Upload(data)


async def _sent(request: Request) -> Sent:
    kind = request.headers.get("content-type", "")
    if not re.match(r"multipart/form-data\s*;", kind, re.IGNORECASE):
        raise ApiError(415, "not_multipart", "expected a body of type multipart/form-data")
    # Another charset is no use to anyone; some of Python's raise what Starlette does not expect, and some are slow.
    if parse_options_header(kind)[1].get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise ApiError(400, "bad_form", "the form cannot be read: its charset is not UTF-8")
    parser = _InMemory(request.headers, request.stream(), max_files=12, max_fields=24, max_part_size=MAX_TEXT)
    try:
        form = await asyncio.wait_for(parser.parse(), READ_S)
    except MultiPartException as error:
        code = 413 if "exceeded maximum size" in error.message else 400
        raise ApiError(code, "bad_form", f"the form cannot be read: {error.message}") from error
    except asyncio.TimeoutError as error:
        raise ApiError(400, "too_slow", f"the form did not arrive within {READ_S:g} s") from error
    fields: dict[str, Any] = {}
    files: dict[str, list[tuple[str | None, bytes]]] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.setdefault(name, []).append((value.filename, await value.read()))
            elif name in fields:
                fields[name] = [*(fields[name] if isinstance(fields[name], list) else [fields[name]]), value]
            else:
                fields[name] = value
    finally:
        await form.close()
    return Sent(fields, files)


def describe(form: type[Config], file_field: str, *, several: bool = False, needed: bool = True) -> dict[str, Any]:
    """The OpenAPI request body of a form with a file or files."""
    schema = form.model_json_schema()
    picture = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP, one face."}
    field = {"type": "array", "items": picture, "minItems": 1, "maxItems": 10} if several else picture
    schema["properties"][file_field] = field
    schema["dependentRequired"] = {k: v for k, v in TOGETHER.items() if k in schema["properties"]}
    schema["required"] = [*schema.get("required", []), *([file_field] if needed else [])]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
