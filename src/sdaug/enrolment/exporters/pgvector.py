"""SQL for PostgreSQL with the extension pgvector."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import StringConstraints

from sdaug.enrolment.exporters import AbstractExporter
from sdaug.enrolment.opened import Bundle

OPERATORS = {"cosine": "<=>", "euclidean": "<->"}
"""The distance operator that ranks as the recogniser's own metric does."""


class Pgvector(AbstractExporter):
    """One `.sql` file for `psql -v ON_ERROR_STOP=1 -f`: makes the table if there is none and adds all rows or none.

    The table takes vectors of one recogniser only: another one's dimension or digest is refused by the database. The
    same bundle a second time is refused too. table: its name.
    """

    target: ClassVar[str] = "pgvector"
    max_dim: ClassVar[int | None] = 16_000

    table: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "face_templates"

    def content(self, bundle: Bundle) -> bytes:
        facts = bundle.facts()
        own = [_text(facts[name]) for name in ("manifest_sha256", "subject", "recogniser_sha256")]
        until = "NULL" if facts["retention_until"] is None else _text(facts["retention_until"])
        values = [
            f"  ({own[0]}, {row['row']}, {own[1]}, {_text(row['role'])}, {_text(row['origin'])}, "
            f"{str(row['synthetic']).lower()}, {until}, {own[2]}, {_text(vector_text(vector))})"
            for row, vector in zip(bundle.rows(), bundle.embeddings, strict=True)
        ]
        rows = ",\n".join(values)
        return f"""\
-- The nearest templates to a probe: ORDER BY embedding {OPERATORS[facts["metric"]]} '[...]' LIMIT 5.
-- To take this person out again: DELETE FROM "{self.table}" WHERE manifest_sha256 = {own[0]};
SET client_encoding = 'UTF8';
BEGIN;
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS "{self.table}" (
  manifest_sha256 text NOT NULL,
  sample_row integer NOT NULL,
  subject text NOT NULL,
  role text NOT NULL,
  origin text NOT NULL CHECK (origin IN ('captured', 'classical', 'generated')),
  synthetic boolean NOT NULL,
  retention_until text,
  recogniser_sha256 text NOT NULL CHECK (recogniser_sha256 = {own[2]}),
  embedding vector({facts["dim"]}) NOT NULL,
  PRIMARY KEY (manifest_sha256, sample_row)
);
INSERT INTO "{self.table}"
  (manifest_sha256, sample_row, subject, role, origin, synthetic, retention_until, recogniser_sha256, embedding)
VALUES
{rows};
COMMIT;
""".encode()


def vector_text(vector: np.ndarray) -> str:
    """A float32 vector as pgvector reads it; nine digits bring back every bit.

    >>> vector_text(np.array([0.1, -1], np.float32))
    '[0.100000001,-1]'
    """
    return "[" + ",".join(f"{value:.9g}" for value in vector.tolist()) + "]"


def _text(value: str) -> str:
    """An SQL string literal; nothing but a quote is special in one."""
    return "'" + value.replace("'", "''") + "'"
