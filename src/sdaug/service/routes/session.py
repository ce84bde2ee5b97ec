"""Signing in and out of the admin page: a key for a cookie."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from sdaug.service.answers import SessionAnswer, SessionRequest
from sdaug.service.api_keys import check_key
from sdaug.service.errors import ApiError, responses
from sdaug.service.routes.shared import Running, who
from sdaug.service.sessions import COOKIE

router = APIRouter(tags=["session"])

PAGE_HEADER = {
    "name": "X-Sdaug-Page",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "Any text. Another site's form cannot send it.",
}


@router.post(
    "/api/session",
    summary="Sign in",
    response_model=SessionAnswer,
    responses=responses("request_too_large", "invalid_field", key=False),
    openapi_extra={"parameters": [PAGE_HEADER], "security": []},
)
async def sign_in(request: Request, response: Response, service: Running, body: SessionRequest) -> dict[str, Any]:
    """Exchanges an API key for a cookie that the page's scripts cannot read. Wants the header `X-Sdaug-Page`."""
    key_id = await run_in_threadpool(check_key, service.engine, body.key)
    if key_id is None:
        service.failures.take(request.client.host if request.client else "unknown")
        raise ApiError(401, "invalid_key", "the API key is not known or was revoked")
    await service.note("sign_in", key_id, who(request)[1])
    response.set_cookie(
        COOKIE,
        service.sessions.begin(key_id),
        max_age=service.settings.session_hours * 3600,
        httponly=True,
        samesite="strict",
        secure=service.settings.secure_cookie,
        path="/",
    )
    return {"signed_in": True}


@router.get("/api/session", summary="Am I signed in?", response_model=SessionAnswer, responses=responses())
async def session() -> dict[str, Any]:
    """401 if not."""
    return {"signed_in": True}


@router.delete("/api/session", summary="Sign out", response_model=SessionAnswer, responses=responses())
async def sign_out(request: Request, response: Response, service: Running) -> dict[str, Any]:
    """Ends the session and forgets the cookie."""
    service.sessions.end(request.cookies.get(COOKIE, ""))
    await service.note("sign_out", *who(request))
    response.delete_cookie(COOKIE, path="/")
    return {"signed_in": False}
