"""`POST /api/compare`: a photo against one person or all, with and without the added templates."""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from sdaug.service.answers import CompareAnswer
from sdaug.service.errors import PHOTOS, ApiError, responses
from sdaug.service.forms import CompareForm, describe, read_form
from sdaug.service.index import Score
from sdaug.service.routes.shared import Running, who

router = APIRouter(tags=["comparison"])


@router.post(
    "/api/compare",
    summary="Compare a photo with enrolled people",
    response_model=CompareAnswer,
    responses=responses(*PHOTOS, "person_not_found", "another_recogniser", "no_threshold"),
    openapi_extra=describe(CompareForm, "file"),
)
async def compare(request: Request, service: Running) -> dict[str, Any]:
    """1:1 with `person_id`, 1:N without. Scores are rounded: exact ones help whoever wants to rebuild a face."""
    form, uploads = await read_form(request, CompareForm, "file", service.settings.limits.image_bytes)
    if len(uploads) != 1:
        raise ApiError(422, "no_file", f"file: {len(uploads)} photos were sent, expected one")
    index = await service.ready()
    _, (raw,) = await service.faces.run({"kind": "embed"}, [uploads[0].data])
    try:
        found = await run_in_threadpool(index.compare, np.frombuffer(raw, "<f4"), form.person_id)
    except KeyError as error:
        raise ApiError(404, "person_not_found", "there is no such person") from error
    except ValueError as error:
        raise ApiError(409, "another_recogniser", f"{error}; enrol the person again to compare") from error
    own = service.recogniser
    threshold = own["threshold"] if own["threshold"] is not None else own["same_person"]
    if threshold is None:
        raise ApiError(503, "no_threshold", "nobody measured a threshold for this recogniser", 3600)
    candidates = []
    for candidate in found[: form.top]:
        person = await run_in_threadpool(service.people.get, candidate.person_id)
        if person is None:  # deleted this moment
            continue
        arms = {
            arm: _arm(getattr(candidate, arm), threshold)
            for arm in ("without_augmentation", "without_sd", "with_augmentation")
        }
        candidates.append({"person_id": person.id, "name": person.record["name"], **arms})
    actor, request_id = who(request)
    await service.note("compare", actor, request_id, form.person_id)
    return {
        "mode": "1:N" if form.person_id is None else "1:1",
        "recogniser": own["name"],
        "threshold": threshold,
        "compared": len(found),
        "not_comparable": index.not_comparable,
        "candidates": candidates,
        "request_id": request_id,
    }


def _arm(score: Score, threshold: float) -> dict[str, Any]:
    return {
        "similarity": round(score.similarity, 3),
        "match": score.similarity >= threshold,
        "templates": score.templates,
    }
