"""What every request passes before its body is read: host, key, how often, how large; and headers on every answer."""

import contextlib
import ipaddress
import logging
import secrets
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdaug.service import api_keys
from sdaug.service.audit import write_line
from sdaug.service.errors import ApiError, problem
from sdaug.service.limiter import Limiter
from sdaug.service.sessions import COOKIE

OPEN = frozenset({"/", "/page.css", "/page.js", "/favicon.ico", "/openapi.json", "/api/session", "/healthz"})
"""Paths that need no key: the page itself holds nothing, and signing in is how one gets a session."""

SMALL = 64 * 1024
"""Bytes of a request body that is no upload."""

UPLOADS = {"/api/enroll": 1, "/api/previews": 1, "/api/compare": 1, "/api/enroll/multiple": 10}
"""Paths that take pictures, and how many."""

AREAS = frozenset({"compare", "enroll", "jobs", "persons", "previews", "sd", "session"})
"""What the audit log tells of an address."""

OWN_HEADER = "x-sdaug-page"
"""A header of our own on what the page changes: another site's form cannot send it, its script has to ask."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


log = logging.getLogger("sdaug.service")


class Guard:
    """ASGI middleware. service: a `sdaug.service.service.Service`."""

    def __init__(self, app: ASGIApp, service: Any):
        self._app, self._service = app, service
        limits = service.settings.limits
        self._all, self._changes = Limiter(limits.requests_per_minute), Limiter(limits.changes_per_minute)
        self._noted = Limiter(limits.failures_per_minute)  # lines of the audit log, by address without a good key
        self._uploading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = secrets.token_hex(8)

        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-ID"] = state["request_id"]
            await send(message)

        try:
            await self._admit(scope, Headers(scope=scope), state)
            limited = self._limited(scope, Headers(scope=scope), receive)
            with self._place(scope):
                await self._app(scope, limited, send_with_headers)
        except ApiError as error:
            await problem(error, state["request_id"])(scope, receive, send_with_headers)
        except Exception as error:
            # Where and of what kind, never the message: it may quote a name or a row.
            log.error("request %s raised %s at %s", state["request_id"], type(error).__name__, _place_of(error))
            if status:
                raise
            told = ApiError(500, "internal_error", "something went wrong here; nothing was stored")
            await problem(told, state["request_id"])(scope, receive, send_with_headers)
        finally:
            if self._is_noted(scope, status):
                try:
                    await run_in_threadpool(self._note, scope, status)
                except SQLAlchemyError as error:  # the answer has been given
                    log.error("the audit log cannot be written: %s", type(error).__name__)

    def _is_noted(self, scope: Scope, status: int) -> bool:
        """Whether the audit log tells of it: never of 429, and of a stranger a few times a minute. A flood must not
        fill the disk."""
        if status == 429 or not (status == 401 or (status >= 400 and scope["method"] not in ("GET", "HEAD"))):
            return False
        return bool(scope["state"].get("actor")) or not self._noted.take(_address(scope))

    def _note(self, scope: Scope, status: int) -> None:
        """A line of the audit log for what was refused: which kind of address, never which person or what text."""
        area = next((part for part in scope["path"].split("/")[2:3] if part in AREAS), "other")
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
        state = scope["state"]
        outcome = f"{method} {area} {status}"
        with self._service.engine.begin() as connection:
            write_line(connection, "refused", state.get("actor") or "unknown", outcome, None, state["request_id"])

    async def _admit(self, scope: Scope, headers: Headers, state: dict[str, Any]) -> None:
        path, changes = scope["path"], scope["method"] not in ("GET", "HEAD")
        client = _address(scope)
        state["actor"] = None
        try:
            self._check_host(headers.get("host", ""))
            if path not in OPEN or (path == "/api/session" and scope["method"] != "POST"):
                state["actor"] = await self._actor(headers, changes, client)
            elif path == "/api/session":
                self._check_failures(client)
                self._check_origin(headers)
        except ApiError:
            # Counted by address, and apart from good keys: a flood without a key locks nobody out who has one.
            self._count(client, changes)
            raise
        self._count(state["actor"] or client, changes)

    def _count(self, name: str, changes: bool) -> None:
        """Raises ApiError 429 where `name`, a key's id or an address, has asked too often."""
        for limiter, counts in ((self._all, True), (self._changes, changes)):
            wait_s = limiter.take(name) if counts else 0
            if wait_s:
                raise ApiError(429, "too_many_requests", "too many requests; nothing was done", wait_s)

    async def _actor(self, headers: Headers, changes: bool, client: str) -> str:
        """The id of the key that this request comes with. Raises ApiError 401, or 429 after too many wrong ones."""
        self._check_failures(client)
        engine = self._service.engine
        given = headers.get("authorization", "")
        if given:
            kind, _, key = given.partition(" ")
            actor = (
                await run_in_threadpool(api_keys.check_key, engine, key.strip()) if kind.lower() == "bearer" else None
            )
            if actor is None:
                self._service.failures.take(client)
                raise ApiError(401, "invalid_key", "the API key is not known or was revoked")
            return actor
        session = self._service.sessions.find(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))
        if session is None:
            raise ApiError(401, "no_key", "expected an API key as `Authorization: Bearer KEY`")
        if changes:
            self._check_origin(headers)
        if not await run_in_threadpool(api_keys.still_good, engine, session.key_id):
            raise ApiError(401, "invalid_key", "the API key of this session was revoked")
        return session.key_id

    def _check_failures(self, client: str) -> None:
        wait_s = self._service.failures.blocked(client)
        if wait_s:
            raise ApiError(429, "too_many_failures", "too many wrong keys from this address", wait_s)

    def _check_host(self, host: str) -> None:
        """A page of another site whose name was made to point here is told nothing."""
        settings = self._service.settings
        with contextlib.suppress(ValueError):  # a text that is no host, such as "[", or a name that is no address
            name = urlsplit(f"//{host}").hostname or ""
            if name in {"localhost", settings.host, *settings.hosts}:
                return
            if ipaddress.ip_address(name).is_loopback:
                return
        raise ApiError(
            400, "unknown_host", "this service is not called by that name; `sdaug serve --allow-host` adds one"
        )

    def _check_origin(self, headers: Headers) -> None:
        """A change by cookie comes from our own page."""
        origin, host = headers.get("origin"), headers.get("host", "")
        with contextlib.suppress(ValueError):  # a text that is no address, such as "http://["
            if OWN_HEADER in headers and (origin is None or urlsplit(origin).netloc == host):
                return
        raise ApiError(401, "foreign_request", "a change by session cookie comes from the page itself")

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """`receive` that refuses a body larger than this path takes, by its announced length or by counting."""
        limits = self._service.settings.limits
        files = UPLOADS.get(scope["path"], 0)
        most = min(limits.image_bytes * files + SMALL * 4, limits.request_bytes) if files else SMALL
        told = headers.get("content-length", "0")
        if not told.isdigit():
            raise ApiError(400, "bad_length", "Content-Length is no number")
        too_large = ApiError(413, "request_too_large", f"the request is larger than {most} bytes")
        if int(told) > most:
            raise too_large
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > most:
                    raise too_large
            return message

        return counted

    @contextlib.contextmanager
    def _place(self, scope: Scope) -> Any:
        if scope["path"] not in UPLOADS or scope["method"] != "POST":
            yield
            return
        if self._uploading >= self._service.settings.limits.uploads:
            raise ApiError(503, "busy", "as many uploads are served as may be; nothing was done", 2)
        self._uploading += 1
        try:
            yield
        finally:
            self._uploading -= 1


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else "unknown"


def _place_of(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
