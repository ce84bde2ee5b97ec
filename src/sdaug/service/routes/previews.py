"""Previews: views made for a person to look at before anything is enrolled; and the jobs that make them."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from sdaug.service.answers import JobAnswer, JobRef
from sdaug.service.errors import PHOTOS, ApiError, responses
from sdaug.service.forms import PreviewForm, describe, read_form
from sdaug.service.jobs import Job, listen
from sdaug.service.poses import POSES
from sdaug.service.routes.shared import Id, Running

router = APIRouter(tags=["previews"])
JOB = ("job_not_found", "invalid_field")


@router.post(
    "/api/previews",
    summary="Generate views to look at",
    response_model=JobRef,
    status_code=202,
    responses=responses(*PHOTOS, "sd_unavailable"),
    openapi_extra=describe(PreviewForm, "file"),
)
async def begin(request: Request, service: Running) -> dict[str, Any]:
    """Queues the generation; nothing is stored. The job's id is the preview's."""
    form, uploads = await read_form(request, PreviewForm, "file", service.settings.limits.image_bytes)
    if len(uploads) != 1:
        raise ApiError(422, "no_file", f"file: {len(uploads)} photos were sent, expected one")
    index = await service.ready()
    status = service.sd_status
    if not status.available:
        raise ApiError(503, "sd_unavailable", f"no views can be generated ({status.reason})", 30)
    others = await run_in_threadpool(index.cohort)
    return {"job_id": service.jobs.begin(uploads[0].data, form.sd_num_angles, others).id}


def _shown(job: Job) -> dict[str, Any]:
    last = job.events[-1]
    angle = max((event["angle"] for event in job.events if "angle" in event), default=None)
    previews = []
    for index, view in enumerate(job.made.views if job.made else ()):
        facts = view["facts"]
        previews.append(
            {
                "index": index,
                "pose": POSES[index],
                "quality": round(view["quality"], 4),
                "image": f"/api/previews/{job.id}/images/{index}" if view["image"] else None,
                **{k: facts[k] for k in ("role", "accepted", "reasons", "rung")},
                "similarity": {name: round(score, 3) for name, score in facts["similarity"].items()},
            }
        )
    return {
        "job_id": job.id,
        "state": job.state,
        "text": last["text"] if "text" in last else "",
        "angle": angle,
        "of": job.angles,
        "generation_s": job.made.answer["generation_s"] if job.made else None,
        "degraded": job.made.answer["degraded"] if job.made else None,
        "warnings": job.made.answer["warnings"] if job.made else [],
        "previews": previews,
        "error": {"code": job.error.code, "detail": job.error.detail} if job.error else None,
    }


@router.get("/api/jobs/{job_id}", summary="A job", response_model=JobAnswer, responses=responses(*JOB))
async def get_job(service: Running, job_id: Id) -> dict[str, Any]:
    """How far it is, and what it made."""
    return _shown(service.jobs.get(job_id))


@router.delete("/api/jobs/{job_id}", summary="Cancel a job", response_model=JobAnswer, responses=responses(*JOB))
async def cancel(service: Running, job_id: Id) -> dict[str, Any]:
    """Ends the job if it waits or runs, and forgets photo and views in any case."""
    job = service.jobs.discard(job_id)
    return _shown(job) | {"state": job.state if job.over else "cancelled"}


@router.get(
    "/api/jobs/{job_id}/events",
    summary="A job's steps as they happen",
    response_class=StreamingResponse,
    responses=responses(*JOB)
    | {
        200: {
            "description": "Server-sent events `step`, then `done`, `failed` or `cancelled`. `Last-Event-ID` goes on.",
            "content": {
                "text/event-stream": {
                    "example": 'id: 4\nevent: step\ndata: {"step": "angle", '
                    '"text": "Generating angle 3/5... (right 45)", '
                    '"angle": 3, "of": 5, "pose": "right 45"}\n\n'
                }
            },
        }
    },
)
async def events(service: Running, job_id: Id, last_event_id: Annotated[int, Header(ge=0)] = 0) -> StreamingResponse:
    """Real steps: each is sent when the worker begins it."""
    job = service.jobs.get(job_id)
    return StreamingResponse(_stream(job, last_event_id), media_type="text/event-stream")


async def _stream(job: Job, after: int) -> AsyncIterator[str]:
    async for said in listen(job, after):
        if said is None:
            yield ": still here\n\n"
            continue
        number, event = said
        data = json.dumps({k: v for k, v in event.items() if k != "event"})
        yield f"id: {number}\nevent: {event['event']}\ndata: {data}\n\n"


@router.get(
    "/api/previews/{preview_id}/images/{index}",
    summary="A view's picture",
    response_class=Response,
    responses=responses("job_not_found", "view_not_found", "preview_not_done", "invalid_field")
    | {200: {"content": {"image/png": {}}, "description": "512 px PNG."}},
)
async def image(service: Running, preview_id: Id, index: Annotated[int, Path(ge=0, le=9)]) -> Response:
    """Only of views that passed the gate."""
    made = service.jobs.finished(preview_id)
    if index not in made.images:
        raise ApiError(404, "view_not_found", "there is no such view, or the gate refused it")
    return Response(made.images[index], media_type="image/png")
