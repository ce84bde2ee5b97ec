"""`POST /api/enroll` and `POST /api/enroll/multiple`."""

from typing import Any

from fastapi import APIRouter, Request, Response

from sdaug.service.answers import EnrolAnswer
from sdaug.service.enrolling import Order, enrol
from sdaug.service.errors import PHOTOS, ApiError, responses
from sdaug.service.forms import EnrolForm, EnrolMultipleForm, describe, read_form
from sdaug.service.routes.shared import IDEMPOTENCY, Running, who
from sdaug.service.service import Service

router = APIRouter(tags=["enrolment"])
PERSON = (
    *PHOTOS, "bad_idempotency_key", "already_enrolled", "in_progress", "idempotency_key_reused", "too_many_files",
)  # fmt: skip
MOST_PHOTOS = 10


@router.post(
    "/api/enroll",
    summary="Enrol a person from one photo",
    response_model=EnrolAnswer,
    response_model_exclude_unset=True,
    responses=responses(*PERSON, "job_not_found", "preview_not_done", "preview_of_another_photo"),
    openapi_extra=describe(EnrolForm, "file", needed=False) | IDEMPOTENCY,
)
async def enroll(request: Request, response: Response, service: Running) -> dict[str, Any]:
    """The photo, its traditional variations and, if asked for, generated views, each judged by the gate.

    `file` may be left out beside `preview_id`: the photo is the preview's.
    """
    form, uploads = await read_form(request, EnrolForm, "file", service.settings.limits.image_bytes)
    if len(uploads) > 1:
        raise ApiError(422, "too_many_files", f"{len(uploads)} files were sent, expected one; see /api/enroll/multiple")
    if form.preview_id is None and not uploads:
        raise ApiError(422, "no_file", "file: no photo was sent")
    order = Order(
        form.name,
        form.cnic,
        tuple(upload.data for upload in uploads),
        form.use_augmentation,
        form.sd_num_angles if form.use_sd_augmentation and form.preview_id is None else 0,
        form.consent,
        form.retention_days,
        form.preview_id,
        form.accepted,
    )
    answer = await _answered(request, response, service, order)
    if form.preview_id is not None:
        _forget_preview(service, form.preview_id)
    return answer


def _forget_preview(service: Service, preview_id: str) -> None:
    try:
        service.jobs.discard(preview_id)
    except ApiError:  # it has been forgotten meanwhile
        return


@router.post(
    "/api/enroll/multiple",
    summary="Enrol a person from several photos",
    response_model=EnrolAnswer,
    response_model_exclude_unset=True,
    responses=responses(*PERSON),
    openapi_extra=describe(EnrolMultipleForm, "files", several=True) | IDEMPOTENCY,
)
async def enroll_multiple(request: Request, response: Response, service: Running) -> dict[str, Any]:
    """As `/api/enroll`, for 1 to 10 photos. A photo that cannot be used is in `rejected`; it is an error only where no
    photo can be used."""
    form, uploads = await read_form(request, EnrolMultipleForm, "files", service.settings.limits.image_bytes)
    if not uploads:
        raise ApiError(422, "no_file", "files: no photo was sent")
    if len(uploads) > MOST_PHOTOS:
        raise ApiError(422, "too_many_files", f"{len(uploads)} files were sent, at most {MOST_PHOTOS} are taken")
    order = Order(
        form.name,
        form.cnic,
        tuple(upload.data for upload in uploads),
        form.use_augmentation,
        form.sd_num_angles if form.use_sd_augmentation else 0,
        form.consent,
        form.retention_days,
    )
    return await _answered(request, response, service, order)


async def _answered(request: Request, response: Response, service: Service, order: Order) -> dict[str, Any]:
    actor, request_id = who(request)
    answer, replayed = await enrol(service, order, actor, request_id, request.headers.get("idempotency-key"))
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return answer
