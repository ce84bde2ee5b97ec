"""What lies in an engine folder: graphs, the weights they were made from, and the digest of every file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sdaug.measure.digest import file_sha256

MANIFEST = "manifest.json"
SCHEMA = "sdaug.engine/1"

Precision = Literal["float32", "float16", "int8"]


class EngineError(RuntimeError):
    """An engine that cannot be built or used; the message names the folder or file and what was expected."""


class ProviderMissing(EngineError):
    """An execution provider that this onnxruntime does not have or could not start."""


@dataclass(frozen=True)
class Graph:
    """One network. file: its ONNX file. weights_sha256: number format -> digest, from `fingerprint.fingerprints`.

    inputs: name -> [number format, dimension ...], a dimension being a number or what it depends on.
    files: every file it needs -> sha256.
    """

    file: str
    weights_sha256: dict[str, str]
    inputs: dict[str, list[Any]]
    files: dict[str, str]


@dataclass(frozen=True)
class Engine:
    """A whole engine folder. model: the fields of ModelSettings that say which weights these are.

    quantisation: how int8 was made and what it costs in likeness; None for float graphs.
    """

    precision: Precision
    opset: int
    model: dict[str, Any]
    versions: dict[str, str]
    unet: Graph
    controlnet: Graph
    quantisation: dict[str, Any] | None = None

    @property
    def graphs(self) -> dict[str, Graph]:
        """Both networks by name."""
        return {"unet": self.unet, "controlnet": self.controlnet}


def write_manifest(folder: Path, engine: Engine) -> None:
    """Writes `manifest.json`, last of all files of a folder."""
    content = {"schema": SCHEMA, **asdict(engine)}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_engine(folder: Path) -> Engine:
    """The manifest of an engine folder, every file's digest compared. Raises `EngineError`.

    Reads every byte: a second or two for each GB.
    """
    engine = read_manifest(folder)
    for graph in engine.graphs.values():
        for name, expected in graph.files.items():
            path = folder / name
            if not path.is_file():
                raise EngineError(f"{path} is missing; {MANIFEST} lists it, build the engine again")
            found = file_sha256(path)
            if found != expected:
                raise EngineError(
                    f"{path} is damaged or was changed: sha256 {found[:12]}..., {expected[:12]}... expected"
                )
    return engine


def read_manifest(folder: Path) -> Engine:
    """The manifest alone, no file compared. Raises `EngineError`."""
    path = folder / MANIFEST
    if not path.is_file():
        raise EngineError(f"{folder} is no engine folder: {path} is missing; `sdaug engine build --out DIR` writes one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content.pop("schema")
        if schema != SCHEMA:
            raise EngineError(f"{path} has the schema {schema!r}; {SCHEMA!r} expected")
        graphs = {name: Graph(**content.pop(name)) for name in ("unet", "controlnet")}
        engine = Engine(**content, unet=graphs["unet"], controlnet=graphs["controlnet"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{path} is no engine manifest: {type(error).__name__}: {error}") from error
    for graph in engine.graphs.values():
        strange = [name for name in (graph.file, *graph.files) if Path(name).name != name]
        if strange or graph.file not in graph.files:
            raise EngineError(f"{path} lists {strange or graph.file!r}; names of files beside it expected")
    return engine


def check_weights(engine: Engine, folder: Path, name: str, found: str) -> None:
    """Raises `EngineError` unless the network `name` with digest `found` is the one the engine was made from."""
    expected = engine.graphs[name].weights_sha256
    if found not in expected.values():
        raise EngineError(
            f"{folder} is an engine of another {name}: made from weights {expected['float32'][:12]}... "
            f"({engine.model.get('model_id')}), loaded are {found[:12]}...; build an engine of these weights"
        )
