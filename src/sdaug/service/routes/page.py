"""The admin page: three files of this package, nothing from elsewhere."""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

router = APIRouter(include_in_schema=False)

PAGE = files("sdaug.service") / "page"


@router.get("/")
async def page() -> Response:
    """The page."""
    return Response((PAGE / "admin.html").read_bytes(), media_type="text/html; charset=utf-8")


@router.get("/favicon.ico", status_code=204)
async def icon() -> None:
    """None; browsers ask."""


@router.get("/page.css")
async def style() -> Response:
    """How it looks."""
    return Response((PAGE / "admin.css").read_bytes(), media_type="text/css; charset=utf-8")


@router.get("/page.js")
async def script() -> Response:
    """What it does."""
    return Response((PAGE / "admin.js").read_bytes(), media_type="text/javascript; charset=utf-8")
