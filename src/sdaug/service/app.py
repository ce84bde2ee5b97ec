"""The ASGI application."""

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sdaug.service import answers
from sdaug.service.errors import handle_errors
from sdaug.service.guard import Guard
from sdaug.service.routes import compare, enrol, page, persons, previews, session, status
from sdaug.service.service import Service
from sdaug.service.settings import ServiceSettings

ABOUT = (
    "Enrols people from photos: the photo, measured variations and generated views of it, judged one by one. "
    "Every request needs an API key as `Authorization: Bearer KEY` (or the admin page's session cookie). "
    "Errors are `{detail, code, request_id}`."
)


def create_app(settings: ServiceSettings) -> FastAPI:
    """The application; its database is opened here, its workers with its lifespan. Raises VaultError."""
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.open()
        try:
            yield
        finally:
            await service.close()

    # No /docs: its scripts come from another host. /openapi.json opens in any viewer.
    app = FastAPI(
        title="sdaug", version=version("sdaug"), description=ABOUT, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.state.service = service
    for routes in (enrol, previews, persons, compare, status, session, page):
        app.include_router(routes.router)
    handle_errors(app)
    app.add_middleware(Guard, service=service)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    return app


def _schema(app: FastAPI) -> dict[str, Any]:
    """OpenAPI with the key scheme, which the guard and not an endpoint asks for."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for name, part in schema["components"]["schemas"].items():
            if "example" in part and hasattr(answers, name):
                # FastAPI has left the nulls of it out.
                part["example"] = getattr(answers, name).model_config["json_schema_extra"]["example"]
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}]
        app.openapi_schema = schema
    return app.openapi_schema
