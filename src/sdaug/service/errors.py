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


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an endpoint beside those that the guard gives of every one, for OpenAPI."""
    return {status: {"model": Problem, "description": MEANING[status]} for status in sorted({*statuses, 400, 401, 429})}


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
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return problem(ApiError(422, "invalid_field", where), request.state.request_id)

    for kind in (ApiError, PhotoError, LaneFull, WorkerLost, JobCancelled, TaskFailed):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, form)
