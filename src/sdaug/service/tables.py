"""The tables. What is about a person is sealed; the rest is ids, times and keyed hashes."""

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

SEALED = LargeBinary(2**32 - 1)
"""With a length, because MySQL's blob without one ends at 64 KiB."""

meta = Table("meta", metadata, Column("name", String(32), primary_key=True), Column("value", SEALED, nullable=False))

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("label", String(64), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("created", String(20), nullable=False),
    Column("revoked", String(20)),
)

persons = Table(
    "persons",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("national_id_hash", String(64), nullable=False, unique=True),
    Column("created", String(20), nullable=False, index=True),
    Column("retention_until", String(20), index=True),
    Column("record", SEALED, nullable=False),
)

templates = Table(
    "templates",
    metadata,
    Column("person_id", String(32), ForeignKey("persons.id"), primary_key=True),
    Column("sealed", SEALED, nullable=False),
)

bundles = Table(
    "bundles",
    metadata,
    Column("person_id", String(32), ForeignKey("persons.id"), primary_key=True),
    Column("sealed", SEALED, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("key_hash", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("person_id", String(32), ForeignKey("persons.id"), nullable=False, index=True),
    Column("created", String(20), nullable=False, index=True),
    Column("sealed", SEALED, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", String(20), nullable=False, index=True),
    Column("action", String(32), nullable=False),
    Column("actor", String(32), nullable=False),
    Column("subject", String(32)),
    Column("outcome", String(64), nullable=False),
    Column("request_id", String(32)),
)
