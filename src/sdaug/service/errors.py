"""What goes wrong, as the client is told: `{detail, code, request_id}` and a status."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from sdaug.service.lane import JobCancelled, LaneFull, TaskFailed, WorkerLost
from sdaug.types import PhotoError, Reason

MEANING = {
    400: "The request is not what HTTP, multipart or this endpoint expects.",
    401: "No API key, a wrong one, or a request that another site may have sent.",
    404: "There is no such person, job, preview or page.",
    409: "It is there already, or the Idempotency-Key was used for another request.",
    413: "Too many bytes or too many pixels.",
    415: "Not multipart, or not a JPEG, PNG or WebP picture.",
    422: "A field or a photo cannot be used; `code` says why.",
    429: "Too many requests; nothing was done. `Retry-After` says when to ask again.",
    503: "The queue is full or a worker was lost; nothing was stored. `Retry-After` says when to ask again.",
}
"""Every error status, and when it comes."""

STATUS = {Reason.UNSUPPORTED: 415, Reason.TOO_LARGE: 413}
"""Of a photo that cannot be used; everything else is 422."""


EXAMPLES = {
    "unknown_host": (400, "this service is not called by that name; `sdaug serve --allow-host` adds one"),
    "bad_length": (400, "Content-Length is no number"),
    "bad_form": (400, "the form cannot be read: Missing boundary in multipart."),
    "bad_idempotency_key": (400, "Idempotency-Key is 1 to 255 visible ASCII characters"),
    "too_slow": (400, "the form did not arrive within 60 s"),
    "no_key": (401, "expected an API key as `Authorization: Bearer KEY`"),
    "invalid_key": (401, "the API key is not known or was revoked"),
    "foreign_request": (401, "a change by session cookie comes from the page itself"),
    "person_not_found": (404, "there is no such person"),
    "job_not_found": (404, "there is no such job; previews are kept for a while only"),
    "view_not_found": (404, "there is no such view, or the gate refused it"),
    "already_enrolled": (409, "this national id is enrolled already, as person 9b2e1f64c0a84d7f8e35d1a60c7b92fe"),
    "in_progress": (409, "this enrolment is under way; ask again in a moment"),
    "idempotency_key_reused": (409, "this Idempotency-Key came with another request before"),
    "preview_not_done": (409, "the preview is running; expected done"),
    "preview_of_another_photo": (409, "the preview was made from another photo than the one sent"),
    "another_recogniser": (
        409,
        "this person was enrolled with another recogniser; enrol the person again to compare",
    ),
    "request_too_large": (413, "the request is larger than 10747904 bytes"),
    "image_too_large": (413, "the file has 10485761 bytes, at most 10485760 are taken"),
    "not_multipart": (415, "expected a body of type multipart/form-data"),
    "unsupported_format": (415, "the image is animated; expected a still one"),
    "invalid_field": (422, "sd_num_angles: Input should be less than or equal to 10"),
    "unknown_field": (422, "1 unknown file fields; expected 'file'"),
    "no_file": (422, "file: no photo was sent"),
    "too_many_files": (422, "11 files were sent, at most 10 are taken"),
    "unreadable_image": (422, "the image is cut off: its end is missing"),
    "no_face": (422, "no face was found in the photo; expected one face, looking at the camera"),
    "multiple_faces": (422, "2 faces were found, choose one by index"),
    "face_too_small": (422, "the face is 40 px wide or high; at least 64 px are needed"),
    "extreme_source_pose": (422, "the head is turned by 60 degrees; expected a face that looks at the camera"),
    "decode_timeout": (422, "the photo takes too long to decode; nothing was stored"),
    "too_many_requests": (429, "too many requests; nothing was done"),
    "too_many_failures": (429, "too many wrong keys from this address"),
    "queue_full": (503, "as many jobs wait as may wait; nothing was stored"),
    "busy": (503, "as many uploads are served as may be; nothing was done"),
    "starting": (503, "the face worker is not ready; nothing was stored"),
    "sd_unavailable": (503, "no views can be generated (weights_missing)"),
    "no_threshold": (503, "nobody measured a threshold for this recogniser"),
    "worker_crashed": (503, "the worker was lost; nothing was stored, and it starts again"),
    "worker_stalled": (503, "the worker was lost; nothing was stored, and it starts again"),
    "worker_failed": (503, "the worker could not do it; nothing was stored"),
    "cancelled": (503, "the job was cancelled; nothing was stored"),
}
"""Status and detail by code, as an endpoint's description shows them."""

GUARD = ("unknown_host", "bad_length", "invalid_key", "foreign_request", "too_many_requests", "too_many_failures")
"""What the guard says at every endpoint; `no_key` too, but where one signs in."""

PHOTOS = (
    "bad_form", "too_slow", "request_too_large", "image_too_large", "not_multipart", "unsupported_format",
    "invalid_field", "unknown_field", "no_file", "unreadable_image", "no_face", "multiple_faces", "face_too_small",
    "extreme_source_pose", "decode_timeout", "queue_full", "busy", "starting", "worker_crashed", "worker_stalled",
    "worker_failed", "cancelled",
)  # fmt: skip
"""What an endpoint says that takes photos."""

RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to ask again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}


class Problem(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "detail": "no face was found in the photo; expected one face, looking at the camera",
                "code": "no_face",
                "request_id": "5f0c7a1e9b3d4c68",
            }
        }
    )
    detail: str = Field(description="What was wrong, and what was expected. For people.")
    code: str = Field(description="The same in one word. For programs.")
    request_id: str = Field(description="As in the `X-Request-ID` header; quote it when asking for help.")


class ApiError(Exception):
    """An answer that is an error. retry_after_s: goes into Retry-After."""

    def __init__(self, status: int, code: str, detail: str, retry_after_s: int | None = None):
        super().__init__(detail)
        self.status, self.code, self.detail, self.retry_after_s = status, code, detail, retry_after_s


def problem(error: ApiError, request_id: str) -> JSONResponse:
    """The response."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    content = {"detail": error.detail, "code": error.code, "request_id": request_id}
    return JSONResponse(content, error.status, headers)


def responses(*codes: str, key: bool = True) -> dict[int | str, dict[str, Any]]:
    """The errors of an endpoint, for OpenAPI, with an example of each code; those of the guard are added.

    key: whether it wants one.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for code in (*GUARD, *(["no_key"] if key else []), *codes):
        status, detail = EXAMPLES[code]
        told = found.setdefault(
            status,
            {
                "model": Problem,
                "description": MEANING[status],
                "content": {"application/json": {"examples": {}}},
                **({"headers": RETRY_AFTER} if status in (429, 503) else {}),
            },
        )
        value = {"detail": detail, "code": code, "request_id": "5f0c7a1e9b3d4c68"}
        told["content"]["application/json"]["examples"][code] = {"value": value}
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def as_api_error(error: Exception) -> ApiError | None:
    """What the client is told of an error that a job ended with; None for one that nobody expected."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, PhotoError):
        return ApiError(STATUS.get(error.reason, 422), error.reason.value, str(error))
    if isinstance(error, LaneFull):
        return ApiError(503, "queue_full", "as many jobs wait as may wait; nothing was stored", error.retry_after_s)
    if isinstance(error, WorkerLost):
        if error.code == "decode_timeout":
            return ApiError(422, error.code, "the photo takes too long to decode; nothing was stored")
        return ApiError(503, error.code, "the worker was lost; nothing was stored, and it starts again", 10)
    if isinstance(error, JobCancelled):
        return ApiError(503, "cancelled", "the job was cancelled; nothing was stored", 1)
    if isinstance(error, TaskFailed):
        return ApiError(503, "worker_failed", "the worker could not do it; nothing was stored", 10)
    return None


def field_error(error: ValidationError) -> ApiError:
    """A form that cannot be used, as 422. What was given is not repeated: it may be a name."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    detail = "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'form'}: {e['msg'].removeprefix('Value error, ')}" for e in found
    )
    return ApiError(422, "invalid_field", detail)


def handle_errors(app: FastAPI) -> None:
    """Makes every expected error of `app` a `Problem`; the guard answers for the others."""

    async def known(request: Request, error: Exception) -> JSONResponse:
        told = as_api_error(error)
        assert told is not None
        return problem(told, request.state.request_id)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        words = {404: ("not_found", "there is nothing at this address"),
                 405: ("method_not_allowed", "this address does not take that method")}  # fmt: skip
        code, detail = words.get(error.status_code, ("bad_request", str(error.detail)))
        response = problem(ApiError(error.status_code, code, detail), request.state.request_id)
        response.headers.update(error.headers or {})  # `Allow`
        return response

    async def form(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # Of an unknown field not its name: that is the client's own text.
        places = [(e["loc"][: -1 if e["type"] == "extra_forbidden" else None], e["msg"]) for e in error.errors()]
        told = dict.fromkeys(f"{'.'.join(map(str, place))}: {message}" for place, message in places)
        return problem(ApiError(422, "invalid_field", "; ".join(told)), request.state.request_id)

    for kind in (ApiError, PhotoError, LaneFull, WorkerLost, JobCancelled, TaskFailed):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, form)
