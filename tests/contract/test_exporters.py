"""What every exporter must do. Files are found, not listed; one whose export nothing here reads back fails."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import sqlglot
from sqlglot import expressions

from sdaug import plugins
from sdaug.enrolment.exporters import AbstractExporter, ExportError, write_export

EXPORTERS = plugins.names("sdaug.enrolment.exporters")
NEEDED = {"insightface_server": {"embedding_contract_id": "ifsemb-v1-sha256:" + "01" * 32}}
"""Options without which a target cannot be exported to."""

every_exporter = pytest.mark.parametrize("name", EXPORTERS)


def exporter(name: str, **options) -> AbstractExporter:
    return plugins.load("sdaug.enrolment.exporters", name, NEEDED.get(name, {}) | options)


def metric_of(name: str) -> str:
    return exporter(name).metrics[0]


def from_npz(out, packed):
    with np.load(out, allow_pickle=False) as file:
        return file["embeddings"], file["role"].tolist()


def from_faiss(out, packed):
    import faiss

    index = faiss.read_index(str(out / "index.faiss"))
    assert isinstance(index, faiss.IndexFlatIP)
    rows = json.loads((out / "ids.json").read_text())["rows"]
    return index.reconstruct_n(0, index.ntotal), [row["role"] for row in rows]


def from_pgvector(out, packed):
    """As a parser of PostgreSQL's dialect reads it; `test_export_pgvector.py` asks the database itself."""
    statements = sqlglot.parse(out.read_text(), read="postgres")
    (insert,) = (statement for statement in statements if isinstance(statement, expressions.Insert))
    names = [column.name for column in insert.this.expressions]
    rows = [dict(zip(names, row.expressions, strict=True)) for row in insert.expression.expressions]
    vectors = [json.loads(row["embedding"].name) for row in rows]
    return np.array(vectors, np.float32), [row["role"].name for row in rows]


def from_insightface_server(out, packed):
    plan = json.loads((out / "plan.json").read_text())
    paths = [file["path"] for file in plan["files"]]
    for path, vector in zip(paths, json.loads(plan["fields"]["external_embeddings"]), strict=True):
        rgb = cv2.imread(str(out / path))[..., ::-1]
        assert np.allclose(packed.embed(rgb), vector, atol=1e-6)
    return np.array(json.loads(plan["fields"]["external_embeddings"]), np.float32), [p[10:-4] for p in paths]


def from_images(out, packed):
    paths = sorted((out / "subject-7").iterdir())
    return np.stack([packed.embed(cv2.imread(str(p))[..., ::-1]) for p in paths]), [p.stem[3:] for p in paths]


READERS = {name.removeprefix("from_"): reader for name, reader in list(globals().items()) if name.startswith("from_")}


def nearest(vectors: np.ndarray, metric: str) -> list[list[int]]:
    """The rows from the nearest on, for each of twenty probes."""
    probes = np.random.default_rng(3).normal(size=(20, vectors.shape[1]))
    scores = probes @ vectors.T.astype(np.float64)
    if metric == "euclidean":
        scores = -np.linalg.norm(probes[:, None] - vectors[None].astype(np.float64), axis=2)
    return np.argsort(-scores, axis=1, kind="stable").tolist()


def test_every_exporter_is_read_back():
    assert sorted(READERS) == EXPORTERS


@every_exporter
def test_a_file_defines_one_exporter_of_its_name(name):
    configured = plugins.plugin("sdaug.enrolment.exporters", name)
    assert configured.__name__.lower() == name.replace("_", "") and configured.target and configured.__doc__


@every_exporter
def test_what_comes_back_has_the_same_nearest_neighbours(name, packed, tmp_path):
    made = packed(metric_of(name))
    out = write_export(tmp_path / "out", exporter(name, include="all").export(made.bundle))
    vectors, roles = READERS[name](out, made)
    assert roles == [sample.role for sample in made.bundle.samples] and len(roles) == 12
    np.testing.assert_array_equal(vectors, made.bundle.embeddings)
    assert nearest(vectors, metric_of(name)) == nearest(made.bundle.embeddings, metric_of(name))


@every_exporter
def test_same_bundle_same_bytes(name, packed):
    first, second = (exporter(name).export(packed(metric_of(name)).bundle) for _ in range(2))
    assert first == second and first


@every_exporter
def test_captured_photos_alone_when_asked(name, packed):
    bundle = packed(metric_of(name)).bundle
    captured = exporter(name, include="captured").export(bundle)
    assert captured == exporter(name, include="all").export(bundle.captured())
    assert captured != exporter(name, include="all").export(bundle)


@every_exporter
def test_another_recogniser_or_dimension_is_refused_naming_both(name, packed):
    bundle = packed(metric_of(name)).bundle
    exporter(name, dim=8, recogniser_sha256="cd" * 32).export(bundle)
    held = f"fake {'cd' * 32}: 8 numbers, {metric_of(name)}"
    with pytest.raises(ExportError, match=rf"512 numbers.*{held}; .*{'01' * 32}.*{held}"):
        exporter(name, dim=512, recogniser_sha256="01" * 32).export(bundle)


@every_exporter
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_metric_the_target_cannot_compare_by_is_refused_naming_both(name, metric, packed):
    bundle, chosen = packed(metric).bundle, exporter(name)
    if metric in chosen.metrics:
        assert chosen.export(bundle)
    else:
        with pytest.raises(
            ExportError, match=f"{chosen.target} compares vectors by cosine, .* fake .* 8 numbers, euclidean"
        ):
            chosen.export(bundle)


@pytest.mark.parametrize("name", [name for name in EXPORTERS if exporter(name).max_dim is not None])
def test_a_vector_too_long_for_the_target_is_refused(name, packed):
    bundle, chosen = packed(metric_of(name)).bundle, exporter(name)
    recogniser = bundle.manifest.recogniser.model_copy(update={"dim": chosen.max_dim + 1})
    long = replace(bundle, manifest=bundle.manifest.model_copy(update={"recogniser": recogniser}))
    with pytest.raises(ExportError, match=f"{chosen.max_dim} numbers at most.*{chosen.max_dim + 1} numbers"):
        chosen.export(long)


@every_exporter
def test_a_misspelt_option_is_told_the_right_word(name):
    with pytest.raises(plugins.PluginError, match="did you mean 'include'"):
        exporter(name, inclde="all")


@every_exporter
def test_an_export_replaces_nothing(name, packed, tmp_path):
    content = exporter(name).export(packed(metric_of(name)).bundle)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken in ("out", "file"):
        with pytest.raises(FileExistsError):
            write_export(tmp_path / taken, content)
    assert (tmp_path / "out" / "mine").read_text() == (tmp_path / "file").read_text() == "mine"
