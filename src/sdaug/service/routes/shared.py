"""What endpoints take from a request."""

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from sdaug.service.service import Service

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", examples=["9b2e1f64c0a84d7f8e35d1a60c7b92fe"])]


def _service(request: Request) -> Service:
    return request.app.state.service


Running = Annotated[Service, Depends(_service)]


def who(request: Request) -> tuple[str, str]:
    """The id of the API key that the request came with, and the request's own."""
    return request.state.actor, request.state.request_id


IDEMPOTENCY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "maxLength": 255},
            "description": "Any text of your own. The same request with the same key enrols once, "
            "with `Idempotency-Replayed: true` from the second time on.",
        }
    ]
}
