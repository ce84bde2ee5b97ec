"""`GET` and `DELETE /api/persons`, and a person's bundle."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from sdaug.service.answers import Deleted, PersonDetail, PersonList
from sdaug.service.errors import ApiError, responses
from sdaug.service.people import Person
from sdaug.service.routes.shared import Id, Running, who

router = APIRouter(tags=["people"])


def _unknown() -> ApiError:
    # A new one each time: an exception that is raised again keeps the frames of every time before.
    return ApiError(404, "person_not_found", "there is no such person")


def _shown(person: Person) -> dict[str, Any]:
    record = person.record
    return {
        "person_id": person.id,
        "name": record["name"],
        "national_id_last4": record["last4"],
        "created": person.created,
        "retention_until": person.retention_until,
        **{k: record[k] for k in ("embeddings_created", "augmentation_breakdown", "recogniser", "bundle", "samples")},
    }


@router.get("/api/persons", summary="List people", response_model=PersonList, responses=responses("invalid_field"))
async def list_persons(
    service: Running,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None,
) -> dict[str, Any]:
    """Enrolled people, a page at a time."""
    found = await run_in_threadpool(service.people.page, limit + 1, after)
    total = await run_in_threadpool(service.people.count)
    page = found[:limit]
    return {
        "persons": [_shown(person) for person in page],
        "next": page[-1].id if len(found) > limit else None,
        "total": total,
    }


@router.get(
    "/api/persons/{person_id}",
    summary="One person",
    response_model=PersonDetail,
    responses=responses("person_not_found", "invalid_field"),
)
async def get_person(service: Running, person_id: Id) -> dict[str, Any]:
    """A person with the list of their samples."""
    person = await run_in_threadpool(service.people.get, person_id)
    if person is None:
        raise _unknown()
    return _shown(person)


@router.delete(
    "/api/persons/{person_id}",
    summary="Delete a person",
    response_model=Deleted,
    responses=responses("person_not_found", "invalid_field"),
)
async def delete_person(request: Request, service: Running, person_id: Id) -> dict[str, Any]:
    """Removes record, templates, bundle and remembered answers, and overwrites their bytes in SQLite's files."""
    actor, request_id = who(request)
    if not await service.delete_person(person_id, actor, request_id):
        raise _unknown()
    return {"deleted": person_id, "request_id": request_id}


@router.get(
    "/api/persons/{person_id}/bundle",
    summary="A person's enrolment bundle",
    response_class=Response,
    responses=responses("person_not_found", "invalid_field")
    | {200: {"content": {"application/zip": {}}, "description": "The bundle (docs/enrolment.md) as a zip."}},
)
async def get_bundle(request: Request, service: Running, person_id: Id) -> Response:
    """Manifest, vectors, images and sums. Who fetched it is in the audit log."""
    bundle = await run_in_threadpool(service.people.bundle, person_id)
    if bundle is None:
        raise _unknown()
    await service.note("bundle", *who(request), person_id)
    name = {"Content-Disposition": f'attachment; filename="{person_id}.zip"'}
    return Response(bundle, media_type="application/zip", headers=name)
