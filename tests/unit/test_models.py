"""`sdaug models` against a hub of its own: fetching, going on, refusing, and finding what has changed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from sdaug.cli import main
from sdaug.config import ModelSettings
from sdaug.diffusion.weights import WeightsMissing, locate
from sdaug.models import catalogue, fetch, pull_pack
from sdaug.models import pull as pulling
from sdaug.models.record import record_path

UNET = "unet/diffusion_pytorch_model.safetensors"
ACCEPT = ["--accept-licence", "creativeml-openrail-m"]


@dataclass
class Hub:
    """What the server below has, and how it misbehaves.

    budget: bytes of files that it sends before every connection breaks, or with `stalls` stands still.
    ranges: the Range header of each download.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    budget: float = float("inf")
    ranges: dict[str, list[str | None]] = field(default_factory=dict)
    status: int = 200
    error: str = ""
    understands_ranges: bool = True
    stalls: threading.Event | None = None
    damages: str = ""
    url: str = ""

    def commit(self, repo: str) -> str:
        return hashlib.sha1(repo.encode()).hexdigest()

    def described(self, repo: str) -> dict:
        siblings = []
        for name, content in self.files[repo].items():
            row = {"rfilename": name, "size": len(content), "blobId": git_sha1(content)}
            if is_large(name):
                row["lfs"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 130}
            siblings.append(row)
        return {"id": repo, "sha": self.commit(repo), "siblings": siblings, "cardData": {"license": "openrail"}}


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Answer(BaseHTTPRequestHandler):
    """As much of the hub's protocol as its client uses."""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        path = self.path.split("?")[0]
        if hub.status != 200 and path.count("/") > 2:
            return self.head(hub.status, **({"X-Error-Code": hub.error} if hub.error else {}))
        asked = re.match(r"/api/models/([^/]+/[^/]+)", path)
        if asked:
            if asked[1] not in hub.files:
                return self.head(404, **{"X-Error-Code": "RepoNotFound"})
            return self.body(json.dumps(hub.described(asked[1])).encode())
        asked = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        return self.file(hub, asked[1], asked[2]) if asked else self.body(b"")

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, content: bytes) -> None:
        self.head(200, **{"Content-Length": str(len(content))})
        if self.command == "GET":
            self.wfile.write(content)

    def file(self, hub: Hub, repo: str, name: str) -> None:
        content = hub.files[repo][name]
        etag = hashlib.sha256(content).hexdigest() if is_large(name) else git_sha1(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit(repo), "Content-Length": str(len(content))}
        if self.command == "HEAD":
            return self.head(200, **headers)
        if name == hub.damages:
            content = content[:-1] + b"?"
        wanted = self.headers.get("Range")
        hub.ranges.setdefault(name, []).append(wanted)
        if wanted and hub.understands_ranges:
            content = content[int(wanted.removeprefix("bytes=").removesuffix("-")) :]
            self.head(206, **headers | {"Content-Length": str(len(content))})
        else:
            self.head(200, **headers)
        sent = content[: int(min(hub.budget, len(content)))]
        hub.budget -= len(sent)
        self.wfile.write(sent)
        if hub.stalls and len(sent) < len(content):
            hub.stalls.wait(60)


@pytest.fixture
def hub(saved, tmp_path, monkeypatch):
    """A hub with SD1.5's repository, filled with the small model."""
    parts = {
        str(path.relative_to(saved)): path.read_bytes()
        for path in saved.rglob("*")
        if path.is_file() and not path.is_relative_to(saved / "controlnet")
    }
    hub = Hub({catalogue.DEFAULT_MODEL: parts | {"README.md": b"never fetched"}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.hub = hub  # type: ignore[attr-defined]
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE",
                        hub.url + "/{repo_id}/resolve/{revision}/{filename}", raising=False)  # fmt: skip
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("SDAUG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pulling, "SPARE_BYTES", 0)
    monkeypatch.setattr(fetch, "PAUSE_S", 0)
    revision = hub.commit(catalogue.DEFAULT_MODEL)
    monkeypatch.setitem(catalogue.PINNED_REVISIONS, catalogue.DEFAULT_MODEL, revision)
    yield hub
    server.shutdown()
    server.server_close()


def models(*words: str):
    return CliRunner().invoke(main, ["models", *words])


def blobs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "hub").glob("models--*/blobs/*"))


# -- list


def test_the_list_says_licence_revision_and_whether_it_is_here(hub):
    rows = {row["name"]: row for row in json.loads(models("list", "--json").stdout)["models"]}
    assert rows["sd15"]["licence"] == "creativeml-openrail-m" and rows["sd15"]["here"] is None
    assert rows["buffalo_l"]["licence"] == "non-commercial-research"
    assert rows["taesd"]["revision"] is None and "unset: not looked up" in models("list").stdout
    assert models("pull", "sd15", *ACCEPT).exit_code == 0
    rows = {row["name"]: row for row in json.loads(models("list", "--json").stdout)["models"]}
    assert rows["sd15"]["here"] and rows["sd15"]["size_bytes"] > 10**6


def test_names_are_unique_and_every_entry_is_complete():
    entries = catalogue.CATALOGUE
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.purpose and entry.conditions and entry.files, entry
        assert re.fullmatch(r"[a-z0-9.+-]+", entry.licence), entry
        assert entry.pickled == any(file.endswith(".bin") for file in entry.files)


def test_the_page_about_licences_names_every_source(root):
    page = (root / "docs/licences.md").read_text()
    assert [entry.name for entry in catalogue.CATALOGUE if entry.source not in page] == []


# -- pull


def test_what_was_pulled_is_what_everything_else_finds(hub, saved):
    done = models("pull", "sd15", *ACCEPT, "--json")
    assert done.exit_code == 0, done.output
    (record,) = json.loads(done.stdout)["pulled"]
    assert record["revision"] == hub.commit(catalogue.DEFAULT_MODEL)
    assert record["licence"] == {"accepted": "creativeml-openrail-m", "on_the_hub": "openrail"}
    assert record["files"][UNET]["sha256"] == hashlib.sha256((saved / UNET).read_bytes()).hexdigest()
    assert "README.md" not in record["files"] and not (Path(record["folder"]) / "README.md").exists()
    files = locate(ModelSettings(controlnet_id=str(saved / "controlnet")))
    assert files["unet"].read_bytes() == (saved / UNET).read_bytes()
    assert models("verify", "sd15").exit_code == 0


def test_a_second_pull_downloads_nothing(hub):
    assert models("pull", "sd15", *ACCEPT).exit_code == 0
    hub.ranges.clear()
    assert models("pull", "sd15", *ACCEPT).exit_code == 0
    assert hub.ranges == {}


def test_no_byte_comes_before_the_licence_is_accepted(hub, tmp_path):
    for words in ([], ["--accept-licence", "mit"]):
        done = models("pull", "sd15", *words)
        assert done.exit_code == 1 and "--accept-licence creativeml-openrail-m" in done.output
    assert not blobs(tmp_path) and hub.ranges == {}


def test_all_licences_are_asked_for_before_the_first_download(hub, tmp_path):
    done = models("pull", "sd15", "taesd", *ACCEPT)
    assert done.exit_code == 1 and "taesd (madebyollin/taesd) is under mit" in done.output
    assert not blobs(tmp_path)


def test_a_cut_line_leaves_what_came_and_the_next_pull_asks_for_the_rest(hub, saved, tmp_path):
    size = (saved / UNET).stat().st_size
    first = sum(len(c) for name, c in hub.files[catalogue.DEFAULT_MODEL].items() if name == "unet/config.json")
    hub.budget = first + size // 2
    done = models("pull", "sd15", *ACCEPT)
    assert done.exit_code == 1 and f"{UNET} broke off at {size // 2} of {size} bytes" in done.output
    (part,) = [path for path in blobs(tmp_path) if path.name.endswith(".sdaug-part")]
    assert part.stat().st_size == size // 2
    assert catalogue.folder_here(catalogue.find("sd15")) is None
    hub.budget = float("inf")
    hub.ranges.clear()
    assert models("pull", "sd15", *ACCEPT).exit_code == 0
    assert hub.ranges[UNET] == [f"bytes={size // 2}-"] and "unet/config.json" not in hub.ranges
    assert not [path for path in blobs(tmp_path) if path.name.endswith(".sdaug-part")]
    assert models("verify", "sd15").exit_code == 0


def test_a_line_that_breaks_once_goes_on_by_itself(hub, monkeypatch):
    size = len(hub.files[catalogue.DEFAULT_MODEL][UNET])
    receive = fetch._receive

    def breaking(url, part, had, *rest):
        hub.budget = size // 3 if UNET in url and not had else float("inf")
        return receive(url, part, had, *rest)

    monkeypatch.setattr(fetch, "_receive", breaking)
    assert models("pull", "sd15", *ACCEPT).exit_code == 0
    assert hub.ranges[UNET] == [None, f"bytes={size // 3}-"]


def test_a_server_without_ranges_sends_all_of_it_again(hub, saved, tmp_path):
    hub.understands_ranges = False
    folder = tmp_path / "hub/models--stable-diffusion-v1-5--stable-diffusion-v1-5/blobs"
    folder.mkdir(parents=True)
    digest = hashlib.sha256((saved / UNET).read_bytes()).hexdigest()
    (folder / f"{digest}.sdaug-part").write_bytes((saved / UNET).read_bytes()[:5000])
    assert models("pull", "sd15", *ACCEPT).exit_code == 0
    assert hub.ranges[UNET] == ["bytes=5000-"] and models("verify", "sd15").exit_code == 0


@pytest.mark.parametrize("name", [UNET, "tokenizer/vocab.json"])
def test_damaged_bytes_are_thrown_away(hub, tmp_path, name):
    hub.damages = name
    done = models("pull", "sd15", *ACCEPT)
    assert done.exit_code == 1 and f"{name} arrived damaged" in done.output
    content = hub.files[catalogue.DEFAULT_MODEL][name]
    digest = hashlib.sha256(content).hexdigest() if is_large(name) else git_sha1(content)
    assert not [path for path in blobs(tmp_path) if digest in path.name]
    hub.damages = ""
    assert models("pull", "sd15", *ACCEPT).exit_code == 0


def test_bytes_on_disk_that_do_not_continue_what_comes_are_found(hub, saved, tmp_path):
    folder = tmp_path / "hub/models--stable-diffusion-v1-5--stable-diffusion-v1-5/blobs"
    folder.mkdir(parents=True)
    digest = hashlib.sha256((saved / UNET).read_bytes()).hexdigest()
    (folder / f"{digest}.sdaug-part").write_bytes(b"x" * 5000)
    assert "arrived damaged" in models("pull", "sd15", *ACCEPT).output
    assert models("pull", "sd15", *ACCEPT).exit_code == 0


def test_a_disk_too_small_is_known_before_the_first_byte(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    done = models("pull", "sd15", *ACCEPT)
    assert done.exit_code == 1 and "GB are to come" in done.output and "0.00 GB left" in done.output
    assert not blobs(tmp_path) and hub.ranges == {}


def test_what_came_already_is_not_asked_of_the_disk_again(hub, tmp_path, monkeypatch):
    hub.budget = 700_000
    assert models("pull", "sd15", *ACCEPT).exit_code == 1
    size = sum(len(c) for name, c in hub.files[catalogue.DEFAULT_MODEL].items() if name != "README.md")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size - 700_000))
    hub.budget = float("inf")
    assert models("pull", "sd15", *ACCEPT).exit_code == 0


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, "RepoNotFound", "is not on the hub, or wants a token"),
        (404, "RevisionNotFound", "has no revision"),
        (401, "", "the hub wants a token, or another one (HF_TOKEN)"),
        (403, "GatedRepo", "is gated: ask for access on its page, then set HF_TOKEN"),
        (401, "GatedRepo", "is gated: ask for access on its page, then set HF_TOKEN"),
    ],
)
def test_a_hub_that_says_no_is_quoted(hub, tmp_path, status, error, message):
    hub.status, hub.error = status, error
    done = models("pull", "sd15", *ACCEPT)
    assert done.exit_code == 1 and message in done.output and "Traceback" not in done.output
    assert not blobs(tmp_path)


def test_a_file_that_the_hub_has_not_is_named(hub):
    del hub.files[catalogue.DEFAULT_MODEL]["vae/config.json"]
    done = models("pull", "sd15", *ACCEPT)
    assert done.exit_code == 1 and "has no vae/config.json; there are: README.md" in done.output


def test_a_pickle_is_fetched_and_found_only_when_that_is_asked_for(hub, saved, tmp_path):
    repo = hub.files[catalogue.DEFAULT_MODEL]
    torch.save(load_file(saved / "text_encoder/model.safetensors"), tmp_path / "pickle")
    del repo["text_encoder/model.safetensors"]
    repo["text_encoder/pytorch_model.bin"] = (tmp_path / "pickle").read_bytes()
    done = models("pull", "sd15", *ACCEPT)
    assert done.exit_code == 1 and "text_encoder/pytorch_model.bin only as a pickle" in done.output
    assert not blobs(tmp_path)
    assert models("pull", "sd15", *ACCEPT, "--allow-pickle").exit_code == 0
    assert "text_encoder/pytorch_model.bin" in json.loads(record_path("sd15").read_text())["files"]
    settings = {"controlnet_id": str(saved / "controlnet"), "allow_pickle": True}
    assert locate(ModelSettings.model_validate(settings))["text_encoder"].suffix == ".bin"
    with pytest.raises(WeightsMissing, match="nor whole in the hub's cache"):
        locate(ModelSettings.model_validate(settings | {"allow_pickle": False}))


def test_half_precision_files_are_fetched_when_asked_for(hub, tmp_path):
    repo = hub.files[catalogue.DEFAULT_MODEL]
    half = {name: value.half() for name, value in load_file_of(repo[UNET], tmp_path).items()}
    save_file(half, tmp_path / "half", {"format": "pt"})
    repo[UNET.replace(".safetensors", ".fp16.safetensors")] = (tmp_path / "half").read_bytes()
    assert models("pull", "sd15", *ACCEPT, "--variant", "fp16").exit_code == 0
    files = json.loads(record_path("sd15").read_text())["files"]
    assert UNET.replace(".safetensors", ".fp16.safetensors") in files and UNET not in files
    assert catalogue.folder_here(catalogue.find("sd15")) is not None


def load_file_of(content: bytes, tmp_path: Path):
    (tmp_path / "whole").write_bytes(content)
    return load_file(tmp_path / "whole")


def test_an_unset_revision_is_the_main_branch_and_is_found_again(hub, monkeypatch):
    monkeypatch.delitem(catalogue.PINNED_REVISIONS, catalogue.DEFAULT_MODEL)
    assert models("pull", "sd15", *ACCEPT).exit_code == 0
    record = json.loads(record_path("sd15").read_text())
    assert record["pinned"] is False and record["revision"] == hub.commit(catalogue.DEFAULT_MODEL)
    assert catalogue.folder_here(catalogue.find("sd15")) is not None


def test_unknown_names_are_a_wrong_use(hub):
    for command in ("pull", "verify"):
        done = models(command, "sd51")
        assert done.exit_code == 2 and "did you mean 'sd15'" in done.output


def test_a_killed_pull_goes_on_where_it_was(hub, tmp_path):
    """The command in a process of its own, told of the hub by the hub's own variables."""
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "own")}
    command = [sys.executable, "-m", "sdaug"]
    command += ["models", "pull", "taesd", "--accept-licence", "mit"]
    weights = "diffusion_pytorch_model.safetensors"
    content = hub.files[catalogue.DEFAULT_MODEL][UNET]
    hub.files["madebyollin/taesd"] = {"config.json": b'{"_class_name": "AutoencoderTiny"}', weights: content}
    hub.budget, hub.stalls = 500_000, threading.Event()
    part = tmp_path / f"own/models--madebyollin--taesd/blobs/{hashlib.sha256(content).hexdigest()}.sdaug-part"
    with subprocess.Popen(command, env=environment) as killed:
        deadline = time.monotonic() + 60
        while killed.poll() is None and time.monotonic() < deadline:
            if part.exists() and part.stat().st_size > 400_000:
                break
            time.sleep(0.02)
        killed.kill()
    had = part.stat().st_size
    hub.stalls.set()
    hub.budget = float("inf")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert hub.ranges[weights] == [None, f"bytes={had}-"] and hub.ranges["config.json"] == [None]
    (placed,) = (tmp_path / "own").glob(f"models--madebyollin--taesd/snapshots/*/{weights}")
    assert placed.read_bytes() == content


# -- verify


@pytest.fixture
def pulled(hub) -> Path:
    assert models("pull", "sd15", *ACCEPT).exit_code == 0
    return Path(json.loads(record_path("sd15").read_text())["folder"])


def test_a_flipped_bit_is_found_and_named(pulled):
    path = (pulled / UNET).resolve()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = models("verify", "sd15", "--json")
    (row,) = json.loads(done.stdout)["models"]
    assert done.exit_code == 1 and not row["ok"] and row["recorded"]
    assert (
        len(row["problems"]) == 1 and f"{UNET} has changed: its sha256 is {row['sha256'][UNET]}" in row["problems"][0]
    )


def test_damage_shows_even_without_a_record(pulled):
    record_path("sd15").unlink()
    assert models("verify", "sd15").exit_code == 0
    path = (pulled / UNET).resolve()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert models("verify", "sd15").exit_code == 1


def test_missing_and_cut_files_are_named(pulled):
    (pulled / "vae/config.json").unlink()
    path = (pulled / UNET).resolve()
    path.write_bytes(path.read_bytes()[:-100])
    done = models("verify", "sd15")
    assert done.exit_code == 1
    for problem in ("vae/config.json is missing", f"{UNET} has changed", f"{UNET} is damaged or cut short"):
        assert problem in done.output


def test_a_record_that_is_no_record_is_said_so(pulled):
    record_path("sd15").write_text('{"schema": "other"}')
    done = models("verify", "sd15")
    assert done.exit_code == 1 and "is no sdaug.pulled/1" in done.output


def test_a_folder_is_verified_by_what_it_says_of_itself(folder):
    assert models("verify", str(folder)).exit_code == 0
    path = folder / "controlnet/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cross_attention_dim": 1024}))
    done = models("verify", str(folder))
    assert done.exit_code == 1 and "cross_attention_dim is 1024; 32 expected" in done.output


def test_an_empty_folder_is_no_model(tmp_path):
    done = models("verify", str(tmp_path))
    assert done.exit_code == 1 and "holds no weights" in done.output


def test_a_damaged_network_of_a_face_pack_is_named(tmp_path):
    (tmp_path / "recogniser.onnx").write_bytes(b"no network")
    done = models("verify", str(tmp_path))
    assert done.exit_code == 1 and "recogniser.onnx is damaged or cut short" in done.output


# -- face packs


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """insightface's server, which has one pack, an archive with a folder inside."""
    storage = pytest.importorskip("insightface.utils.storage")
    files = tmp_path / "served"
    (files / "pack/buffalo_s").mkdir(parents=True)
    (files / "pack/buffalo_s/detector.onnx").write_bytes(os.urandom(50_000))
    (files / "pack/buffalo_s/readme.txt").write_text("no network")
    shutil.make_archive(str(files / "buffalo_s"), "zip", files / "pack")

    class Zoo(BaseHTTPRequestHandler):
        cut = 0

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = files / self.path.strip("/")
            content = path.read_bytes() if path.is_file() else b""
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[: len(content) - Zoo.cut])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Zoo)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr(storage, "MODEL_ZOO_RELEASE_DOWNLOAD_URL", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setattr(pull_pack, "PACKS_FOLDER", tmp_path / "packs")
    monkeypatch.setattr(catalogue, "PACKS_FOLDER", tmp_path / "packs")
    monkeypatch.setenv("SDAUG_CACHE", str(tmp_path / "cache"))
    yield Zoo
    server.shutdown()
    server.server_close()


RESEARCH = ["--accept-licence", "non-commercial-research"]


def test_a_face_pack_comes_by_insightfaces_downloader(zoo, tmp_path):
    done = models("pull", "buffalo_s", *RESEARCH, "--json")
    assert done.exit_code == 0, done.output
    assert [p.name for p in (tmp_path / "packs").iterdir()] == ["buffalo_s"]
    assert [p.name for p in (tmp_path / "packs/buffalo_s").iterdir()] == ["detector.onnx"]
    (record,) = json.loads(done.stdout)["pulled"]
    assert list(record["files"]) == ["detector.onnx"] and record["revision"] is None
    (tmp_path / "packs/buffalo_s/detector.onnx").write_bytes(b"other")
    assert "detector.onnx has changed" in models("verify", "buffalo_s").output


def test_a_face_pack_that_came_half_is_not_there(zoo, tmp_path):
    zoo.cut = 1000
    done = models("pull", "buffalo_s", *RESEARCH)
    assert done.exit_code == 1 and "buffalo_s" in done.output and "run the same command again" in done.output
    assert not list((tmp_path / "packs").iterdir())
    zoo.cut = 0
    assert models("pull", "buffalo_s", *RESEARCH).exit_code == 0


def test_a_face_pack_that_no_server_has_is_said_so(zoo):
    done = models("pull", "antelopev2", *RESEARCH)
    assert done.exit_code == 1 and "antelopev2.zip cannot be had: status 404" in done.output


def test_a_face_packs_disk_is_checked(zoo, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**5))
    done = models("pull", "buffalo_s", *RESEARCH)
    assert done.exit_code == 1 and "GB are to come" in done.output
