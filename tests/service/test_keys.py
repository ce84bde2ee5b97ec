"""Who may: keys, sessions, hosts, other sites, and how often."""

import hashlib

import pytest
from fastapi.testclient import TestClient

from sdaug.service import tables
from sdaug.service.api_keys import check_key, create_key, list_keys, revoke_key
from sdaug.service.database import open_database
from sdaug.service.limiter import Limiter
from sdaug.service.sessions import Sessions
from sdaug.service.settings import ServiceSettings
from sdaug.service.vault import Vault, VaultError, new_key, parse_key

PAGE = {"X-Sdaug-Page": "1"}


@pytest.fixture
def stranger(running) -> TestClient:
    """A client without a key."""
    return TestClient(running.http.app, base_url="http://localhost")


def test_every_endpoint_but_the_open_ones_wants_a_key(running, stranger):
    paths = running.http.get("/openapi.json").json()["paths"]
    asked = 0
    for path, methods in paths.items():
        for method in methods:
            if (path, method) == ("/api/session", "post"):
                continue
            answer = stranger.request(method, path.replace("{index}", "0").replace("{", "").replace("}", ""))
            assert (answer.status_code, answer.json()["code"]) == (401, "no_key"), (method, path)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            asked += 1
    assert asked >= 12


@pytest.mark.parametrize(
    "header", ["Bearer nonsense", "Bearer ", "Basic eDp5", "Bearer sdaug_000000000000_" + "A" * 43, "bearer"]
)
def test_a_wrong_key_is_refused(stranger, header):
    answer = stranger.get("/api/persons", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")


def test_a_key_in_the_address_opens_nothing(running, stranger):
    key = running.http.headers["Authorization"].removeprefix("Bearer ")
    for name in ("key", "api_key", "access_token", "token"):
        assert stranger.get("/api/persons", params={name: key}).status_code == 401


def test_a_key_is_kept_as_a_hash_and_ends_when_revoked(tmp_path):
    engine, _ = open_database(ServiceSettings(data=tmp_path / "data"))
    key = create_key(engine, "door")
    (known,) = list_keys(engine)
    assert (known.label, known.revoked) == ("door", None)
    secret = key.split("_", 2)[2]
    stored = b"".join(f.read_bytes() for f in (tmp_path / "data").iterdir())
    assert secret.encode() not in stored and hashlib.sha256(secret.encode()).hexdigest().encode() in stored
    assert check_key(engine, key) == known.id
    assert check_key(engine, key[:-1] + ("A" if key[-1] != "A" else "B")) is None
    revoke_key(engine, known.id)
    assert check_key(engine, key) is None
    with pytest.raises(ValueError, match="no unrevoked key"):
        revoke_key(engine, known.id)


def test_the_page_exchanges_a_key_for_a_cookie(running, stranger):
    key = create_key(running.service.engine, "page")
    assert stranger.post("/api/session", json={"key": key}).json()["code"] == "foreign_request"
    assert stranger.post("/api/session", json={"key": "wrong"}, headers=PAGE).status_code == 401
    answer = stranger.post("/api/session", json={"key": key}, headers=PAGE)
    assert answer.json() == {"signed_in": True}
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and key not in cookie
    assert stranger.get("/api/persons").status_code == 200

    person = "0" * 32
    for headers in ({}, PAGE | {"Origin": "http://evil.example"}):
        answer = stranger.delete(f"/api/persons/{person}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "foreign_request"), headers
    own = PAGE | {"Origin": "http://localhost"}
    assert stranger.delete(f"/api/persons/{person}", headers=own).status_code == 404

    revoke_key(running.service.engine, key.split("_")[1])
    assert stranger.get("/api/persons").json()["code"] == "invalid_key"


def test_signing_out_ends_the_session(running, stranger):
    key = create_key(running.service.engine, "page")
    stranger.post("/api/session", json={"key": key}, headers=PAGE)
    token = stranger.cookies["sdaug_session"]
    assert stranger.delete("/api/session", headers=PAGE).json() == {"signed_in": False}
    stranger.cookies.set("sdaug_session", token)
    assert stranger.get("/api/persons").status_code == 401


def test_a_session_ends_by_itself():
    time = [0.0]
    sessions = Sessions(10.0, clock=lambda: time[0])
    token = sessions.begin("k")
    time[0] = 9.9
    assert sessions.find(token) is not None and sessions.find("other") is None
    time[0] = 10.0
    assert sessions.find(token) is None


@pytest.mark.parametrize(
    "host, status",
    [
        ("localhost:8321", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
        ("[", 400),
        ("[::1", 400),
        ("a]", 400),
    ],
)
def test_a_foreign_host_name_is_refused(running, host, status):
    answer = running.http.get("/api/sd/status", headers={"Host": host})
    assert answer.status_code == status and (status == 200 or answer.json()["code"] == "unknown_host")


@pytest.mark.parametrize("origin", ["http://[", "http://a]", "null", "http://localhost.evil.example"])
def test_a_foreign_origin_is_refused(stranger, origin):
    answer = stranger.post("/api/session", json={"key": "x"}, headers=PAGE | {"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (401, "foreign_request")


def test_an_unknown_field_of_a_sign_in_is_not_repeated(stranger):
    answer = stranger.post("/api/session", json={"Ayesha Khan": 1, "<b>": 2}, headers=PAGE)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
    assert answer.json()["detail"] == "body.key: Field required; body: Extra inputs are not permitted"


def test_every_answer_has_the_headers(running, stranger):
    for answer in (running.http.get("/"), running.http.get("/api/persons"), stranger.get("/api/persons"),
                   running.http.get("/nothing")):  # fmt: skip
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert len(answer.headers["X-Request-ID"]) == 16
        assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = stranger.options(
        "/api/persons", headers={"Origin": "http://e.example", "Access-Control-Request-Method": "GET"}
    )
    assert preflight.status_code in (401, 405) and "Access-Control-Allow-Origin" not in preflight.headers


def test_too_many_requests_are_told_when_to_come_again(serve):
    running = serve(limits={"requests_per_minute": 3})
    answers = [running.http.get("/api/sd/status") for _ in range(5)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["code"] == "too_many_requests" and int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "method, path, headers, status",
    [
        ("GET", "/api/persons", {}, 401),
        ("POST", "/api/compare", {}, 401),
        ("POST", "/api/compare", {"Host": "evil.example"}, 400),
        ("POST", "/api/session", {}, 401),
    ],
)
def test_requests_without_a_key_are_limited_and_lock_nobody_out(serve, method, path, headers, status):
    running = serve(limits={"requests_per_minute": 5, "failures_per_minute": 2})
    stranger = TestClient(running.http.app, base_url="http://localhost", headers=headers)
    answers = [stranger.request(method, path) for _ in range(8)]
    assert [a.status_code for a in answers] == [status] * 5 + [429] * 3
    assert answers[-1].json()["code"] == "too_many_requests" and int(answers[-1].headers["Retry-After"]) >= 1
    assert running.http.get("/api/sd/status").status_code == 200
    with running.service.engine.connect() as connection:
        lines = connection.execute(tables.audit.select().where(tables.audit.c.action == "refused")).all()
    assert [line.outcome.rpartition(" ")[2] for line in lines] == [str(status)] * 2, "a flood does not fill the log"


def test_too_many_changes_are_not_logged_one_by_one(serve):
    running = serve(limits={"changes_per_minute": 3})
    answers = [running.http.delete(f"/api/persons/{'0' * 32}").status_code for _ in range(6)]
    assert answers == [404] * 3 + [429] * 3
    with running.service.engine.connect() as connection:
        lines = connection.execute(tables.audit.select().where(tables.audit.c.action == "refused")).all()
    assert [line.outcome for line in lines] == ["DELETE persons 404"] * 3


def test_guessing_keys_is_stopped(serve):
    running = serve(limits={"failures_per_minute": 3})
    stranger = TestClient(running.http.app, base_url="http://localhost")
    wrong = {"Authorization": "Bearer wrong"}
    assert [stranger.get("/api/persons", headers=wrong).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert stranger.post("/api/session", json={"key": "x"}, headers=PAGE).headers["Retry-After"]


def test_a_bucket_fills_again():
    time = [0.0]
    limiter = Limiter(60, clock=lambda: time[0])
    assert [limiter.take("a") for _ in range(61)][-2:] == [0, 1]
    assert limiter.take("b") == 0
    time[0] = 1.0
    assert (limiter.take("a"), limiter.take("a")) == (0, 1)


def test_sealed_bytes_open_for_their_row_and_key_only():
    vault = Vault(parse_key(new_key()))
    sealed = vault.seal(b"face", "bundle 1")
    assert vault.open(sealed, "bundle 1") == b"face" and b"face" not in sealed
    assert sealed != vault.seal(b"face", "bundle 1")
    for other, about, data in (
        (vault, "bundle 2", sealed),
        (vault, "bundle 1", b""),
        (vault, "bundle 1", sealed[:20]),
        (Vault(parse_key(new_key())), "bundle 1", sealed),
        (vault, "bundle 1", sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(VaultError, match="cannot be opened"):
            other.open(data, about)


def test_the_wrong_data_key_does_not_open_a_database(tmp_path, monkeypatch):
    open_database(ServiceSettings(data=tmp_path / "data"))
    monkeypatch.setenv("SDAUG_DATA_KEY", new_key())
    with pytest.raises(VaultError, match="not the one"):
        open_database(ServiceSettings(data=tmp_path / "data"))


def test_without_a_data_key_one_is_made_beside_the_data(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("SDAUG_DATA_KEY")
    open_database(ServiceSettings(data=tmp_path / "data"))
    key_file = tmp_path / "data.key"
    assert key_file.stat().st_mode & 0o777 == 0o600 and (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "service.db").stat().st_mode & 0o777 == 0o600
    assert "SDAUG_DATA_KEY is unset" in caplog.text and key_file.read_text().strip() not in caplog.text
    open_database(ServiceSettings(data=tmp_path / "data"))


@pytest.mark.parametrize("text", ["", "short", "!" * 44])
def test_a_malformed_data_key_is_named_and_not_shown(text):
    with pytest.raises(VaultError) as told:
        parse_key(text)
    assert not text or text not in str(told.value)


def test_keys_on_the_command_line(sdaug, tmp_path):
    data = ("--data", tmp_path / "data")
    key = sdaug("keys", "create", "--label", "door", *data).out.strip()
    listed = sdaug("keys", "list", *data).out
    assert key.split("_")[1] in listed and "good" in listed and key.split("_", 2)[2] not in listed
    assert sdaug("keys", "revoke", key.split("_")[1], *data).code == 0
    assert "revoked" in sdaug("keys", "list", *data).out
    assert sdaug("keys", "revoke", key.split("_")[1], *data).code == 1
    assert len(parse_key(sdaug("keys", "data-key").out)) == 32
