"""What each exporter promises of its own; what they all promise is in tests/contract/test_exporters.py."""

import json
import re
from typing import Annotated

import numpy as np
import pytest

from sdaug.enrolment.exporters import ExportError, write_export
from sdaug.enrolment.exporters.faiss import Faiss, flat_ip_bytes
from sdaug.enrolment.exporters.images import Images
from sdaug.enrolment.exporters.insightface_server import InsightfaceServer
from sdaug.enrolment.exporters.npz import Npz
from sdaug.enrolment.marking import decode_png, read_marking
from sdaug.enrolment.terms import Terms

CONTRACT = "ifsemb-v1-sha256:" + "01" * 32


@pytest.mark.parametrize("shape", [(1, 1), (12, 8), (3, 512)])
def test_the_index_is_faiss_own_bytes(shape):
    import faiss

    vectors = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    index = faiss.IndexFlatIP(shape[1])
    index.add(vectors)
    assert flat_ip_bytes(vectors) == faiss.serialize_index(index).tobytes()


def test_faiss_finds_what_the_vectors_say(packed, tmp_path):
    import faiss

    made = packed()
    out = write_export(tmp_path / "out", Faiss().export(made.bundle))
    probes = np.random.default_rng(3).normal(size=(20, 8)).astype(np.float32)
    _, found = faiss.read_index(str(out / "index.faiss")).search(probes, 12)
    assert found.tolist() == np.argsort(-(probes @ made.bundle.embeddings.T), axis=1, kind="stable").tolist()
    ids = json.loads((out / "ids.json").read_text())
    assert ids["subject"] == "subject-7" and ids["recogniser_sha256"] == "cd" * 32
    assert ids["rows"][1] == {"row": 1, "role": "view-1", "origin": "generated", "synthetic": True}


def test_npz_says_whose_vectors_they_are(packed, tmp_path):
    made = packed()
    with np.load(write_export(tmp_path / "p.npz", Npz().export(made.bundle)), allow_pickle=False) as file:
        assert str(file["manifest_sha256"]) == made.bundle.manifest_sha256 and str(file["metric"]) == "cosine"
        assert file["synthetic"].tolist() == [False] + [True] * 11 and file["row"].tolist() == list(range(12))
        assert np.linalg.norm(file["mean"]) == pytest.approx(1)
        assert file["mean"] @ made.bundle.embeddings.mean(axis=0) > 0


def test_images_are_the_photos_alone_unless_asked_and_keep_their_marks(packed, tmp_path):
    made = packed()
    alone = write_export(tmp_path / "alone", Images().export(made.bundle)) / "subject-7"
    assert [path.name for path in alone.iterdir()] == ["00-source.png"]
    every = write_export(tmp_path / "all", Images(include="all").export(made.bundle)) / "subject-7"
    assert len(list(every.iterdir())) == 12
    assert read_marking(every / "00-source.png") is None
    assert read_marking(every / "01-view-1.png")["origin"] == "generated"
    assert all(path.read_bytes() == made.bundle.images[f"images/{path.name}"] for path in every.iterdir())


def test_what_needs_images_refuses_a_bundle_that_keeps_none(packed):
    bare = packed(terms=Terms(include_images=False)).bundle
    with pytest.raises(ExportError, match="keeps none"):
        Images().export(bare)
    with pytest.raises(ExportError, match="0 for 12"):
        InsightfaceServer(embedding_contract_id=CONTRACT).export(bare)
    assert Npz().export(bare) and Faiss().export(bare)


def server():
    """A stand-in that takes what InsightFace Server's API description says, field by field, and holds it to the rules
    given there. The server itself is no package that could be installed."""
    from fastapi import FastAPI, Form, HTTPException, UploadFile

    app, kept = FastAPI(), {}

    @app.post("/v1/collections/{collection_id}/persons", status_code=201)
    def enrol(
        collection_id: str,
        images: list[UploadFile],
        id: Annotated[str, Form(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")],
        metadata: Annotated[str, Form()],
        review_mode: Annotated[str, Form(pattern="^(off|standard|strict)$")],
        embedding_mode: Annotated[str, Form(pattern="^(server|external_trusted)$")],
        external_embeddings: Annotated[str, Form()],
        embedding_contract_id: Annotated[str, Form()],
        name: Annotated[str | None, Form()] = None,
    ):
        vectors = np.array(json.loads(external_embeddings), np.float64)
        good = np.abs(np.linalg.norm(vectors, axis=1) - 1) <= 2e-4
        if embedding_contract_id != CONTRACT or len(images) != len(vectors) or not good.all() or len(images) > 20:
            raise HTTPException(409)
        for image in images:
            decode_png(image.file.read())
        kept.update(vectors=vectors, metadata=json.loads(metadata), id=id, collection=collection_id, name=name)
        return {"person": {"id": id, "face_count": len(vectors)}, "rejected_images": []}

    return app, kept


def test_the_plan_is_a_request_that_the_server_takes(packed, tmp_path):
    from fastapi.testclient import TestClient

    made = packed(terms=Terms(label="Seven"))
    exporter = InsightfaceServer(collection="staff", embedding_contract_id=CONTRACT)
    out = write_export(tmp_path / "out", exporter.export(made.bundle))
    plan = json.loads((out / "plan.json").read_text())
    files = [(f["name"], (f["path"], (out / f["path"]).read_bytes(), f["content_type"])) for f in plan["files"]]
    app, kept = server()
    answer = TestClient(app).request(plan["method"], plan["path"], data=plan["fields"], files=files)
    assert answer.status_code == 201 and answer.json()["person"] == {"id": "subject-7", "face_count": 12}
    assert kept["collection"] == "staff" and kept["name"] == "Seven"
    assert kept["metadata"]["sdaug_manifest_sha256"] == made.bundle.manifest_sha256
    assert kept["metadata"]["synthetic_rows"] == list(range(1, 12))
    np.testing.assert_array_equal(kept["vectors"].astype(np.float32), made.bundle.embeddings)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, {"embedding_contract_id": None}, "GET /v1/collections/_default"),
        ({}, {"max_images": 11}, "11 images a person, the bundle has 12"),
        ({"subject": "o'brien"}, {}, 'the subject is "o\'brien"'),
        ({"pictures": 21}, {}, "20 images a person, the bundle has 21"),
    ],
)
def test_what_the_server_would_refuse_is_not_planned(packed, changes, options, words):
    exporter = InsightfaceServer(**{"embedding_contract_id": CONTRACT} | options)
    with pytest.raises(ExportError, match=words):
        exporter.export(packed(**changes).bundle)


# -- the commands


def test_from_photo_to_another_program_by_the_commands(sdaug, tmp_path, monkeypatch):
    import subprocess

    for command in ("genpkey -algorithm ed25519 -out key.pem", "pkey -in key.pem -pubout -out public.pem"):
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    consent = {"purpose": "door", "legal_basis": "consent", "time": "2030-01-01T00:00:00Z"}
    (tmp_path / "consent.json").write_text(json.dumps(consent))
    monkeypatch.setenv("SDAUG_BUNDLE_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
    made = sdaug("enrol", "astronaut", "--subject", "seven", "--out", "bundle", "--backend", "warp", "--num-angles", 2,
                 "--consent", "consent.json", "--retention-until", "2999-01-31", "--label", "Seven",
                 "--sign-with", "key.pem", "--encrypt", "--json")  # fmt: skip
    assert made.code == 0 and json.loads(made.out)["by_origin"]["captured"] == 1, made.err
    assert (tmp_path / "bundle").is_file()

    unsigned = sdaug("verify", "bundle")
    assert unsigned.code == 1 and "which nobody gave" in unsigned.err
    found = sdaug("verify", "bundle", "--public-key", "public.pem", "--json")
    figures = json.loads(found.out)
    assert found.code == 0 and figures["signature"] == "verified" and figures["retention_until"] == "2999-01-31"
    assert "P" in "".join(figures["pose_map"])
    shown = sdaug("verify", "bundle", "--allow-unverified-signature")
    assert shown.code == 0 and "not verified" in shown.out and "pitch\\yaw" in shown.out

    own = ("--public-key", "public.pem")
    for target in ("npz", "pgvector", "images"):
        done = sdaug("export", "bundle", "--to", target, "--out", target, *own, "--json")
        assert done.code == 0 and json.loads(done.out)["rows"] == (1 if target == "images" else figures["rows"]), (
            done.err
        )
    refused = sdaug("export", "bundle", "--to", "faiss", "--out", "faiss", *own)
    assert refused.code == 1 and "by cosine" in refused.err and "dlib_resnet" in refused.err and "128" in refused.err
    assert sdaug("export", "bundle", "--to", "npz", "--out", "unsigned").code == 1
    for wrong, words in (
        (("--to", "npz", "--out", "npz"), "replaces nothing"),
        (("--to", "npz", "--out", "x", "-o", "dims=3"), "did you mean 'dim'"),
        (("--to", "npz", "--out", "x", "-o", "dim"), "KEY=VALUE"),
        (("--to", "fais", "--out", "x"), "'faiss'"),
    ):
        done = sdaug("export", "bundle", *wrong, *own)
        assert done.code == 2 and words in done.err, done.err
    monkeypatch.delenv("SDAUG_BUNDLE_KEY")
    locked = sdaug("verify", "bundle", *own)
    assert locked.code == 1 and "SDAUG_BUNDLE_KEY" in locked.err
    monkeypatch.setenv("SDAUG_BUNDLE_KEY", "short")
    assert sdaug("verify", "bundle", *own).code == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["bundle", "consent.json", "images", "key.pem", "npz", "pgvector", "public.pem"]
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--retention-until", "tomorrow"), "retention_until"),
        (("--retention-until", "2001-01-01"), "before created"),
        (("--label", "a\nb"), "label: .*printable"),
        (("--consent", "bad.json"), "consent.purpose|purpose"),
        (("--consent", "broken.json"), "not valid JSON"),
        (("--evaluation", "bad.json"), "sdaug evaluate gain"),
        (("--sign-with", "bad.json"), "private Ed25519"),
        (("--encrypt",), "SDAUG_BUNDLE_KEY"),
    ],
)
def test_bad_terms_are_refused_before_anything_is_generated(sdaug, tmp_path, monkeypatch, options, words):
    from sdaug.augmentor import GenerativeAugmentor

    monkeypatch.delenv("SDAUG_BUNDLE_KEY", raising=False)
    monkeypatch.setattr(GenerativeAugmentor, "augment", lambda *given, **more: pytest.fail("generated all the same"))
    (tmp_path / "bad.json").write_text('{"legal_basis": "consent"}')
    (tmp_path / "broken.json").write_text("{")
    done = sdaug("enrol", "astronaut", "--subject", "seven", "--out", "b", "--backend", "warp", *options)
    assert done.code == 2 and re.search(words, done.err), done.err
    assert not (tmp_path / "b").exists()
