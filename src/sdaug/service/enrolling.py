"""One enrolment from checked fields to a stored person: the work in a lane, then one transaction."""

import asyncio
import datetime
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool

from sdaug.service.answers import EnrolAnswer
from sdaug.service.clock import now, stamp
from sdaug.service.errors import ApiError
from sdaug.service.frames import Frame
from sdaug.service.index import Index
from sdaug.service.jobs import Made
from sdaug.service.lane import TaskFailed, WorkerLost
from sdaug.service.people import AlreadyEnrolled, Person, Remembered, Templates, new_person_id
from sdaug.service.service import Service
from sdaug.types import Reason


@dataclass(frozen=True)
class Order:
    """An enrolment as asked for. angles: views to generate of each photo, 0 for none. consent: for the bundle's
    manifest; days: until the person is deleted, None for as long as the service keeps. preview_id, accepted: a preview
    and which of its views to enrol, None for all that passed the gate; made, chosen: the same once it was looked up.
    sd: whether SD was asked for, in either way."""

    name: str
    national_id: str
    photos: tuple[bytes, ...]
    traditional: bool
    angles: int
    consent: dict[str, str] | None = None
    days: int | None = None
    preview_id: str | None = None
    accepted: tuple[int, ...] | None = None
    made: Made | None = None
    chosen: tuple[int, ...] = ()

    @property
    def sd(self) -> bool:
        return bool(self.angles) or self.preview_id is not None

    @property
    def fingerprint(self) -> str:
        """Equal for equal orders, whatever has become of their preview meanwhile."""
        accepted = None if self.accepted is None else sorted(set(self.accepted))
        facts = [
            self.name, self.national_id, self.traditional, self.angles, self.consent, self.days, self.preview_id,
            accepted,
        ]  # fmt: skip
        digests = [hashlib.sha256(photo).hexdigest() for photo in self.photos]
        return json.dumps([facts, digests])


async def enrol(
    service: Service, order: Order, actor: str, request_id: str, key: str | None
) -> tuple[dict[str, Any], bool]:
    """The answer, and whether it is one that was given before to the same Idempotency-Key."""
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise ApiError(400, "bad_idempotency_key", "Idempotency-Key is 1 to 255 visible ASCII characters")
    key_hash = None if key is None else service.vault.keyed_hash("idempotency", f"{actor} {key}")
    fingerprint = service.vault.keyed_hash("fingerprint", order.fingerprint)
    if key_hash is not None:
        # Before the look-up: whatever ends after this one is found by it.
        if key_hash in service.under_way:
            raise _in_progress()
        known = await run_in_threadpool(service.people.remembered, key_hash)
        if known is not None:
            if known.fingerprint != fingerprint:
                raise ApiError(409, "idempotency_key_reused", "this Idempotency-Key came with another request before")
            return known.answer | {"request_id": request_id}, True
    order = _with_preview(service, order)
    busy = {service.people.national_id_hash(order.national_id), *([key_hash] if key_hash else [])}
    if busy & service.under_way:
        raise _in_progress()
    service.under_way |= busy
    # Once begun it is finished, whether or not the client waits: it finds the answer under its key.
    doing = asyncio.ensure_future(_enrol(service, order, actor, request_id, key_hash, fingerprint))
    doing.add_done_callback(lambda _: service.under_way.difference_update(busy))
    doing.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(doing), False


def _in_progress() -> ApiError:
    return ApiError(409, "in_progress", "this enrolment is under way; ask again in a moment", 2)


def _with_preview(service: Service, order: Order) -> Order:
    """The order with what its preview made. Raises ApiError 404, 409, 422 for a preview it cannot be enrolled from."""
    if order.preview_id is None:
        return order
    made = service.jobs.finished(order.preview_id)
    chosen = tuple(sorted(made.images if order.accepted is None else set(order.accepted)))
    if strange := [index for index in chosen if index not in made.images]:
        raise ApiError(
            422, "invalid_field", f"accepted: view {strange[0]} was not offered; there are {sorted(made.images)}"
        )
    if order.photos not in ((), (made.photo,)):
        raise ApiError(409, "preview_of_another_photo", "the preview was made from another photo than the one sent")
    return replace(order, photos=(made.photo,), made=made, chosen=chosen)


async def _enrol(
    service: Service, order: Order, actor: str, request_id: str, key_hash: str | None, fingerprint: str
) -> dict[str, Any]:
    most = service.settings.retention_days
    if most is not None and (order.days or 0) > most:
        raise ApiError(422, "invalid_field", f"retention_days: this service keeps people for at most {most} days")
    index = await service.ready()
    await _check_new(service, order.national_id)
    person_id, created = new_person_id(), now()
    days = order.days or service.settings.retention_days
    until = None if days is None else stamp(created + datetime.timedelta(days=days))
    (facts, (bundle, raw)), failure = await _worked(service, index, order, person_id, stamp(created), until)
    kept = Templates(
        np.frombuffer(raw, "<f4").reshape(-1, facts["dim"]), tuple(facts["origins"]), facts["recogniser"]["sha256"]
    )
    photos = kept.vectors[[origin == "captured" for origin in kept.origins]]
    same = service.recogniser["same_person"]
    duplicates = None if same is None else await run_in_threadpool(index.alike, photos, same)
    answer = _answer(order, person_id, facts, failure, duplicates, request_id)
    record = {
        "name": order.name,
        "last4": order.national_id[-4:],
        "recogniser": facts["recogniser"]["name"],
        "samples": facts["samples"],
        **{k: answer[k] for k in ("embeddings_created", "augmentation_breakdown", "bundle")},
    }
    person = Person(person_id, stamp(created), until, record)
    remembered = None if key_hash is None else Remembered(key_hash, fingerprint, answer)
    try:
        await run_in_threadpool(
            service.people.add, person, order.national_id, kept, bundle, remembered, actor, request_id
        )
    except AlreadyEnrolled as error:
        raise _already(error.person_id) from error
    index.put(person_id, kept)
    return answer


async def _check_new(service: Service, national_id: str) -> None:
    known = await run_in_threadpool(service.people.find_national_id, national_id)
    if known is not None:
        raise _already(known)


def _already(person_id: str) -> ApiError:
    return ApiError(409, "already_enrolled", f"this national id is enrolled already, as person {person_id}")


async def _worked(
    service: Service, index: Index, order: Order, person_id: str, created: str, until: str | None
) -> tuple[Frame, str | None]:
    """What the worker made, and why the generator was left where it was."""
    people, vectors = await run_in_threadpool(index.cohort)
    made = order.made
    views = [] if made is None else [_reviewed(order, i, v["facts"], created) for i, v in enumerate(made.views)]
    images = [] if made is None else [made.images[i] for i in order.chosen]
    review = {} if made is None else {
        "generator": made.answer["generator"],
        "review": {"accepted": list(order.chosen), "of": len(made.views), "cohort": made.answer["cohort"]},
    }  # fmt: skip
    task = {
        "kind": "enrol",
        "subject": person_id,
        "created": created,
        "retention_until": until,
        "consent": order.consent,
        "photos": len(order.photos),
        "traditional": order.traditional,
        "angles": order.angles,
        "views": views,
        "cohort": people,
        "generator": None,
        "review": None,
        **review,
    }
    blobs = [*order.photos, *images, *vectors]
    if order.angles:
        try:
            return await service.generation.run(task, blobs), None
        except WorkerLost as error:
            if error.code == "decode_timeout":
                raise
            failure = error.code
        except TaskFailed:
            failure = "generator_failed"
        return await service.faces.run({**task, "angles": 0}, blobs), failure
    return await service.faces.run(task, blobs), None


def _answer(
    order: Order,
    person_id: str,
    facts: dict[str, Any],
    failure: str | None,
    duplicates: Sequence[tuple[str, float]] | None,
    request_id: str,
) -> dict[str, Any]:
    counts = {origin: facts["origins"].count(origin) for origin in ("captured", "classical", "generated")}
    degraded, seconds, quality = facts["degraded"], facts["generation_s"], facts["quality"]
    rejected = list(facts["rejected"])
    if failure is not None:
        degraded = {"reason": failure, "reasons": [failure], "by_rung": {}}
    if order.made is not None:
        degraded, seconds = order.made.answer["degraded"], order.made.answer["generation_s"]
        quality = _quality([order.made.views[i]["quality"] for i in order.chosen])
        rejected += [_not_taken(v["facts"]) for i, v in enumerate(order.made.views) if i not in order.chosen]
    answer = {
        "success": True,
        "message": f"Successfully enrolled {order.name}",
        "person_id": person_id,
        "embeddings_created": len(facts["origins"]),
        "augmentation_breakdown": {
            "original": counts["captured"],
            "traditional": counts["classical"],
            "stable_diffusion": counts["generated"],
        },
        "rejected": rejected,
        "warnings": facts["warnings"],
        "degraded": degraded,
        "bundle": {"id": person_id, "sha256": facts["bundle_sha256"]},
        "duplicates": [{"person_id": other, "similarity": round(score, 3)} for other, score in duplicates or ()],
        "not_evaluated": ["duplicates"] if duplicates is None else [],
        "request_id": request_id,
    }
    if order.sd:
        answer |= {"sd_generation_time": seconds, "quality_scores": quality}
    return EnrolAnswer.model_validate(answer).model_dump(exclude_unset=True)


def _reviewed(order: Order, index: int, facts: dict[str, Any], when: str) -> dict[str, Any]:
    """A view's facts once a person has looked: one that passed the gate and was not chosen is refused for that."""
    if not facts["accepted"]:
        return facts
    if index in order.chosen:
        return facts | {"reviewed": "accepted", "reviewed_at": when}
    refused = {"accepted": False, "reasons": [Reason.REJECTED_BY_REVIEWER.value]}
    return facts | refused | {"reviewed": "refused", "reviewed_at": when}


def _not_taken(facts: dict[str, Any]) -> dict[str, Any]:
    """A preview's view that the gate or the person refused."""
    kind, reasons = "generated", facts["reasons"]
    if facts["accepted"]:
        kind, reasons = "reviewed", [Reason.REJECTED_BY_REVIEWER.value]
    return {"kind": kind, "photo": 0, "role": facts["role"], "reasons": list(reasons), "message": None}


def _quality(scores: Sequence[float]) -> dict[str, float] | None:
    if not scores:
        return None
    figures = {"average": sum(scores) / len(scores), "min": min(scores), "max": max(scores)}
    return {name: round(value, 4) for name, value in figures.items()}
