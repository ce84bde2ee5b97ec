"""Whether views can be generated, and whether the service lives."""

from fastapi import APIRouter

from sdaug.service.answers import SdStatus
from sdaug.service.errors import responses
from sdaug.service.routes.shared import Running

router = APIRouter(tags=["status"])


@router.get("/api/sd/status", summary="Can views be generated?", response_model=SdStatus, responses=responses())
async def sd_status(service: Running) -> SdStatus:
    """Answered from memory, also while a generation runs."""
    return service.sd_status


@router.get("/healthz", summary="Does the service live?", include_in_schema=False)
async def health() -> dict[str, str]:
    """Needs no key and says nothing else."""
    return {"status": "ok"}
