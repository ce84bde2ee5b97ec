"""One multipart request for InsightFace Server 0.2: images with the vectors that belong to them."""

import json
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from sdaug.enrolment.exporters import AbstractExporter, ExportError
from sdaug.enrolment.layout import canonical_json
from sdaug.enrolment.opened import Bundle

MAX_IMAGE_BYTES = 10 * 1024 * 1024
MAX_REQUEST_BYTES = 64 * 1024 * 1024
IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What the server takes as the id of a person (server/docs/api.md)."""


class InsightfaceServer(AbstractExporter):
    """A folder: `plan.json` says method, path, form fields and files of the request; `images/` holds the files.

    The person's id is the subject. `external_trusted`: the server stores our vectors and makes none of its own, for our
    gate has judged the images already; `review_mode` is its own check on top.

    collection: its id. embedding_contract_id: as `GET /v1/collections/{id}` tells it; clients copy and never make it.
    max_images: what the server takes for a person.
    """

    target: ClassVar[str] = "InsightFace Server"
    metrics: ClassVar[tuple[str, ...]] = ("cosine",)

    collection: Annotated[str, StringConstraints(pattern=r"^(_default|[A-Za-z0-9][A-Za-z0-9._-]{0,63})$")] = "_default"
    embedding_contract_id: Annotated[str, StringConstraints(pattern=r"^ifsemb-v1-sha256:[0-9a-f]{64}$")] | None = None
    review_mode: Literal["off", "standard", "strict"] = "off"
    max_images: int = Field(20, ge=1)

    def content(self, bundle: Bundle) -> dict[str, bytes]:
        if self.embedding_contract_id is None:
            raise ExportError(
                f"{self.target} takes vectors under an embedding_contract_id; copy the one that "
                f"GET /v1/collections/{self.collection} tells"
            )
        images = {s.image: bundle.images[s.image] for s in bundle.samples if s.image is not None}
        faults = self._limits(bundle, images)
        if faults:
            raise ExportError("; ".join(faults))
        plan = {
            "schema": "sdaug.insightface-server/1",
            **bundle.facts(),
            "method": "POST",
            "path": f"/v1/collections/{self.collection}/persons",
            "fields": self._fields(bundle),
            "files": [{"name": "images", "path": path, "content_type": "image/png"} for path in images],
        }
        return {"plan.json": canonical_json(plan), **images}

    def _fields(self, bundle: Bundle) -> dict[str, str]:
        metadata: dict[str, Any] = {
            "sdaug_manifest_sha256": bundle.manifest_sha256,
            "synthetic_rows": [at for at, sample in enumerate(bundle.samples) if sample.synthetic],
            "retention_until": bundle.manifest.retention_until,
        }
        label = bundle.manifest.label
        return {
            "id": bundle.manifest.subject,
            **({} if label is None else {"name": label}),
            "metadata": json.dumps(metadata, sort_keys=True),
            "review_mode": self.review_mode,
            "embedding_mode": "external_trusted",
            "embedding_contract_id": self.embedding_contract_id or "",
            "external_embeddings": json.dumps(bundle.embeddings.tolist()),
        }

    def _limits(self, bundle: Bundle, images: dict[str, bytes]) -> list[str]:
        subject, count = bundle.manifest.subject, len(bundle.samples)
        faults = []
        if not re.fullmatch(IDENTIFIER, subject):
            faults.append(f"{self.target} takes ids of 1 to 64 letters, digits and . _ -, the subject is {subject!r}")
        if len(images) != count:
            faults.append(f"{self.target} wants an image a vector, the bundle has {len(images)} for {count}")
        if count > self.max_images:
            faults.append(f"{self.target} takes {self.max_images} images a person, the bundle has {count}")
        faults += [
            f"{self.target} takes {MAX_IMAGE_BYTES} bytes an image, {path} has {len(data)}"
            for path, data in images.items()
            if len(data) > MAX_IMAGE_BYTES
        ]
        if (total := sum(map(len, images.values()))) > MAX_REQUEST_BYTES:
            faults.append(f"{self.target} takes {MAX_REQUEST_BYTES} bytes a request, the images have {total}")
        return faults
