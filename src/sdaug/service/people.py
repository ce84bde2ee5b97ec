"""Enrolled people in the database: written whole or not at all, sealed, deleted without a trace."""

import json
import logging
import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Engine, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from sdaug.service.audit import pseudonym, write_line
from sdaug.service.clock import now, stamp
from sdaug.service.database import erase_freed
from sdaug.service.frames import pack, unpack
from sdaug.service.tables import answers, bundles, persons, templates
from sdaug.service.vault import Vault, VaultError

log = logging.getLogger("sdaug.service")


class AlreadyEnrolled(ValueError):
    """The national id is enrolled already, as the person with this id."""

    def __init__(self, person_id: str):
        super().__init__("this national id is enrolled already")
        self.person_id = person_id


@dataclass(frozen=True)
class Templates:
    """A person's vectors (N, D) float32 and, row by row, the origin of the sample each was taken from."""

    vectors: np.ndarray
    origins: tuple[str, ...]
    recogniser_sha256: str


@dataclass(frozen=True)
class Remembered:
    """What an Idempotency-Key stands for: key_hash; fingerprint of the request; the answer to repeat."""

    key_hash: str
    fingerprint: str
    answer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Person:
    """One enrolled person. record: `name`, `last4` and what the answer to the enrolment said."""

    id: str
    created: str
    retention_until: str | None
    record: dict[str, Any]


def new_person_id() -> str:
    """A random id that says nothing."""
    return secrets.token_hex(16)


class People:
    """The people of one database."""

    def __init__(self, engine: Engine, vault: Vault):
        self._engine, self._vault = engine, vault

    def national_id_hash(self, national_id: str) -> str:
        """How a national id is kept."""
        return self._vault.keyed_hash("national id", national_id)

    def add(
        self,
        person: Person,
        national_id: str,
        kept: Templates,
        bundle: bytes,
        remembered: Remembered | None,
        actor: str,
        request_id: str,
    ) -> None:
        """Stores everything of a person in one transaction. Raises AlreadyEnrolled, with nothing stored."""
        head = {"origins": kept.origins, "dim": kept.vectors.shape[1], "recogniser_sha256": kept.recogniser_sha256}
        vectors = np.ascontiguousarray(kept.vectors, "<f4").tobytes()
        hashed = self.national_id_hash(national_id)
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    insert(persons).values(
                        id=person.id,
                        national_id_hash=hashed,
                        created=person.created,
                        retention_until=person.retention_until,
                        record=self._seal_json(person.record, f"person {person.id}"),
                    )
                )
                sealed = self._vault.seal(pack(head, [vectors]), f"templates {person.id}")
                connection.execute(insert(templates).values(person_id=person.id, sealed=sealed))
                sealed = self._vault.seal(bundle, f"bundle {person.id}")
                connection.execute(insert(bundles).values(person_id=person.id, sealed=sealed))
                if remembered is not None:
                    connection.execute(
                        insert(answers).values(
                            key_hash=remembered.key_hash,
                            fingerprint=remembered.fingerprint,
                            person_id=person.id,
                            created=person.created,
                            sealed=self._seal_json(remembered.answer, f"answer {remembered.key_hash}"),
                        )
                    )
                who = pseudonym(self._vault, person.id)
                write_line(connection, "enrol", actor, "done", who, request_id)
        except IntegrityError as error:
            known = self.find_national_id(national_id)
            if known is None:
                raise
            raise AlreadyEnrolled(known) from error

    def find_national_id(self, national_id: str) -> str | None:
        """The id of the person with this national id."""
        with self._engine.connect() as connection:
            same = persons.c.national_id_hash == self.national_id_hash(national_id)
            return connection.execute(select(persons.c.id).where(same)).scalar()

    def remembered(self, key_hash: str) -> Remembered | None:
        """What was answered to this key."""
        with self._engine.connect() as connection:
            row = connection.execute(
                select(answers.c.fingerprint, answers.c.sealed).where(answers.c.key_hash == key_hash)
            ).one_or_none()
        if row is None:
            return None
        return Remembered(key_hash, row.fingerprint, self._open_json(row.sealed, f"answer {key_hash}"))

    def get(self, person_id: str) -> Person | None:
        """One person."""
        with self._engine.connect() as connection:
            row = connection.execute(select(persons).where(persons.c.id == person_id)).one_or_none()
        return None if row is None else self._person(row)

    def page(self, limit: int, after: str | None = None) -> list[Person]:
        """At most `limit` people, by id, those after `after`."""
        query = select(persons).order_by(persons.c.id).limit(limit)
        if after is not None:
            query = query.where(persons.c.id > after)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [self._person(row) for row in rows]

    def count(self) -> int:
        """How many people are enrolled."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(persons)).scalar_one()

    def _person(self, row: Any) -> Person:
        return Person(row.id, row.created, row.retention_until, self._open_json(row.record, f"person {row.id}"))

    def bundle(self, person_id: str) -> bytes | None:
        """A person's bundle as a zip."""
        with self._engine.connect() as connection:
            sealed = connection.execute(select(bundles.c.sealed).where(bundles.c.person_id == person_id)).scalar()
        return None if sealed is None else self._vault.open(sealed, f"bundle {person_id}")

    def all_templates(self) -> dict[str, Templates]:
        """Everybody's vectors by person id, for the index in memory. What does not open is logged and left out."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(templates.c.person_id, templates.c.sealed)).all()
        found = {}
        for row in rows:
            try:
                opened = self._vault.open(row.sealed, f"templates {row.person_id}")
            except VaultError:
                who = pseudonym(self._vault, row.person_id)
                log.error("the templates of person %s (audit log) do not open: no photo is compared with them", who)
                continue
            head, (vectors,) = unpack(opened)
            array = np.frombuffer(vectors, "<f4").reshape(-1, head["dim"])
            found[row.person_id] = Templates(array, tuple(head["origins"]), head["recogniser_sha256"])
        return found

    def delete(self, person_id: str, actor: str, request_id: str = "", action: str = "delete") -> bool:
        """Removes everything of a person, down to the bytes in the files; False if there is no such person."""
        with self._engine.begin() as connection:
            for table in (answers, bundles, templates):
                connection.execute(delete(table).where(table.c.person_id == person_id))
            found = connection.execute(delete(persons).where(persons.c.id == person_id)).rowcount == 1
            if found:
                write_line(connection, action, actor, "done", pseudonym(self._vault, person_id), request_id)
        if found:
            erase_freed(self._engine)
        return found

    def expired(self) -> list[str]:
        """The ids of people whose retention has ended."""
        with self._engine.connect() as connection:
            ended = persons.c.retention_until <= stamp(now())
            return list(connection.execute(select(persons.c.id).where(ended)).scalars())

    def forget_answers(self, before: str) -> int:
        """Deletes the remembered answers older than `before`; returns how many."""
        with self._engine.begin() as connection:
            gone = connection.execute(delete(answers).where(answers.c.created < before)).rowcount
        if gone:
            erase_freed(self._engine)
        return gone

    def _seal_json(self, content: dict[str, Any], about: str) -> bytes:
        return self._vault.seal(json.dumps(content, ensure_ascii=False).encode(), about)

    def _open_json(self, sealed: bytes, about: str) -> dict[str, Any]:
        return json.loads(self._vault.open(sealed, about))
