"""What the tests share: the built-in photo, its views, the face packs, and where local photographs lie."""

import json
import logging
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import RunSettings
from sdaug.face.photo import read_photo
from sdaug.packs import load_pack
from sdaug.photos import photo_path
from sdaug.synthesis.stage import set_stage
from sdaug.synthesis.warp import turn
from sdaug.types import ANGLES

ROOT = Path(__file__).parents[1]
LOCAL = {
    "SDAUG_FACES": os.environ.get("SDAUG_FACES") or ROOT.parent / "shared" / "faces",
    "SDAUG_FACE_PACK": os.environ.get("SDAUG_FACE_PACK") or ROOT.parent / "shared" / "models" / "face-pack",
}
"""Read before `no_face_pack_by_accident` hides the variables from the tests."""


def pytest_collection_modifyitems(items):
    for item in items:
        if {"faces", "arcface_folder"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("faces")


def local_folder(variable: str) -> Path:
    folder = Path(LOCAL[variable]).expanduser().resolve()
    if not folder.is_dir():
        pytest.skip(f"{variable} names no folder, and none is in its usual place beside the repository")
    return folder


@pytest.fixture(autouse=True)
def no_face_pack_by_accident(monkeypatch):
    """The commands take their default pack from the environment; a test names its own."""
    monkeypatch.delenv("SDAUG_FACE_PACK", raising=False)


@pytest.fixture(autouse=True)
def a_cache_of_its_own(monkeypatch, tmp_path_factory):
    """Nothing is taken from, or left in, this user's cache."""
    monkeypatch.setenv("SDAUG_CACHE", str(tmp_path_factory.getbasetemp() / "sdaug-cache"))


@pytest.fixture(autouse=True)
def a_log_level_of_its_own():
    """`--quiet`, and a soak's part, are for one process; here the next test has it too."""
    logger = logging.getLogger("sdaug")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def faces() -> Path:
    """The folder of local photographs."""
    return local_folder("SDAUG_FACES")


@pytest.fixture(scope="session")
def arcface_folder() -> str:
    return str(local_folder("SDAUG_FACE_PACK"))


@pytest.fixture(scope="session")
def arcface(arcface_folder):
    """The insightface pack: SCRFD, an ArcFace recogniser, dlib held out."""
    pack = load_pack(arcface_folder)
    yield pack
    pack.close()


@pytest.fixture(scope="session")
def embedded():
    pack = load_pack("embedded")
    yield pack
    pack.close()


@pytest.fixture(scope="session")
def astronaut():
    return read_photo(photo_path("astronaut"))


@pytest.fixture(scope="session")
def astronaut_face(astronaut, embedded):
    (face,) = embedded.faces(astronaut.pixels)
    return face


@pytest.fixture(scope="session")
def astronaut_bgr(astronaut) -> np.ndarray:
    return np.ascontiguousarray(astronaut.pixels[..., ::-1])


@pytest.fixture(scope="session")
def stage(astronaut, astronaut_face, embedded):
    return set_stage(astronaut, astronaut_face, embedded.mesh)


@pytest.fixture(scope="session")
def views(stage):
    """The astronaut at every angle of the list, in order."""
    return [turn(stage, pose) for pose in ANGLES]


@pytest.fixture(scope="session")
def warp():
    augmentor = GenerativeAugmentor(settings=RunSettings(backend="warp"))
    yield augmentor
    augmentor.cleanup()


@pytest.fixture(scope="session")
def warp_record(warp, astronaut):
    return warp.augment(astronaut, num_angles=10)


def diffusion(model_id: str, num_inference_steps: int):
    """An augmentor on the CPU, cleaned up once it is no longer needed."""
    settings = RunSettings.model_validate({"generation": {"num_inference_steps": num_inference_steps}})
    augmentor = GenerativeAugmentor(model_id, device="cpu", settings=settings)
    yield augmentor
    augmentor.cleanup()


@pytest.fixture(scope="session")
def nano():
    """Diffusion on the small model that comes with the package."""
    yield from diffusion("sdaug-nano", num_inference_steps=4)


@pytest.fixture(scope="session")
def nano_record(nano, astronaut):
    return nano.augment(astronaut, num_angles=5)


@pytest.fixture(scope="session")
def random_model():
    """Diffusion on the small seeded model, whose pictures are noise."""
    yield from diffusion("random", num_inference_steps=2)


@pytest.fixture(scope="session")
def random_record(random_model, astronaut):
    return random_model.augment(astronaut, num_angles=1)


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    """The small random model as a folder in diffusers layout, with a small CLIP text encoder and a tokenizer."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    from sdaug.diffusion.prompts import NEGATIVE_PROMPT, PROMPT
    from sdaug.diffusion.random_model import random_components

    folder = tmp_path_factory.mktemp("saved")
    parts = random_components()
    for name in ("unet", "controlnet", "vae", "scheduler"):
        getattr(parts, name).save_pretrained(folder / name)
    tokens, merges = ["<|startoftext|>", "<|endoftext|>"], []
    for word in sorted(set(f"{PROMPT} {NEGATIVE_PROMPT}".replace(",", " ,").replace("'", " '").split())):
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        tokens += pieces
        whole = pieces[0]
        for piece in pieces[1:]:
            merges.append(f"{whole} {piece}")
            whole += piece
            tokens.append(whole)
    (folder / "tokenizer").mkdir()
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    (folder / "tokenizer/vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer/merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n")
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture
def sdaug(tmp_path, monkeypatch):
    """The `sdaug` command, run in an empty folder: call it with arguments, get `code`, `out` and `err`."""
    from sdaug.cli import main

    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("sdaug")
    level = logger.level

    def call(*arguments) -> SimpleNamespace:
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        logger.handlers.clear()
        logger.setLevel(level)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)

    return call


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """Writes a small bundle of one person and opens it: call it with a metric, what else `write_bundle` is to get
    (`subject`, `terms`), and `pictures`, how many. A fake recogniser of eight numbers; one photo, then views."""
    from sdaug.enrolment.bundle import BundleSample, write_bundle
    from sdaug.enrolment.opened import open_bundle
    from sdaug.types import Pose

    mix = np.random.default_rng(8).normal(size=(8 * 6 * 3, 8))

    def embed(pixels: np.ndarray, metric: str = "cosine") -> np.ndarray:
        vector = (pixels.astype(np.float64).ravel() / 255 - 0.5) @ mix
        return (vector / np.linalg.norm(vector) if metric == "cosine" else vector).astype(np.float32)

    def write(metric: str = "cosine", pictures: int = 12, **changes):
        rng, photo = np.random.default_rng(1), "ab" * 32
        samples = [
            BundleSample(
                origin="captured" if n == 0 else ("classical", "generated")[n % 2],
                role="source" if n == 0 else f"view-{n}",
                image=rng.integers(0, 256, (8, 6, 3), np.uint8),
                parent_sha256=photo,
                accepted=True,
                measured=Pose(4.0 * n, 0.0),
                rung=None if n == 0 else ("warp", "diffusion")[n % 2],
            )
            for n in range(pictures)
        ]
        arguments = {
            "subject": "subject-7",
            "samples": samples,
            "embed": lambda pixels: embed(pixels, metric),
            "recogniser": {"name": "fake", "sha256": "cd" * 32, "dim": 8, "metric": metric},
            "detector": {"name": "none"},
            "generator": {"name": "fake", "version": "1"},
            "policy": {},
            "tool": {"name": "sdaug", "version": "0"},
            "created": "2030-01-31T12:00:00Z",
        }
        path = tmp_path_factory.mktemp("packed") / "bundle"
        return SimpleNamespace(path=path, embed=embed, bundle=open_bundle(write_bundle(path, **arguments | changes)))

    return write
