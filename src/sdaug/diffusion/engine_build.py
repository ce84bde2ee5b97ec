"""An engine folder built from weights, whole or not at all, and checked against them."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from sdaug.config import ModelSettings
from sdaug.diffusion.adapters import load_adapters
from sdaug.diffusion.load import assemble
from sdaug.diffusion.weights import load_components
from sdaug.engine.attach import open_networks
from sdaug.engine.export import OPSET, Name, export_network
from sdaug.engine.fingerprint import fingerprints, network_sha256
from sdaug.engine.manifest import Engine, EngineError, Graph, check_weights, read_engine, write_manifest
from sdaug.engine.numerics import Difference, compare, sound, usual_cases
from sdaug.engine.session import Provider
from sdaug.levers import Pipeline

Progress = Callable[[str], None]
"""Told what is begun."""


def build_engine(
    model: ModelSettings,
    folder: Path,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    progress: Progress = lambda _: None,
) -> Engine:
    """Writes an engine of the weights that `model` names into `folder`, which must be free or empty.

    dtype: what the graphs compute in. Raises `EngineError`, and `WeightsError` for weights that cannot be read.
    """
    check_free(folder)
    pipeline = load_on_cpu(model, progress)
    check_disk(folder, pipeline, 2 if dtype == "float16" else 4)
    with written_whole(folder) as draft:
        engine = export_engine(pipeline, model, draft, dtype, progress)
        write_manifest(draft, engine)
    return engine


def load_on_cpu(model: ModelSettings, progress: Progress = lambda _: None) -> Pipeline:
    """The networks as the loop runs them, adapters fused, float32 on the CPU."""
    import torch

    progress("reading weights")
    parts = load_components(model)
    load_adapters(parts, model)
    return assemble(parts, torch.device("cpu"))


def export_engine(pipeline: Pipeline, model: ModelSettings, folder: Path, dtype: str, progress: Progress) -> Engine:
    """Both graphs written into an existing folder, without a manifest. Leaves the networks in `dtype`."""
    import torch

    graphs: dict[Name, Graph] = {}
    networks: dict[Name, Any] = {"unet": pipeline.unet, "controlnet": pipeline.controlnet}
    for name, network in networks.items():
        progress(f"exporting {name}")
        weights = fingerprints(network)
        if dtype != "float32":
            torch.nn.Module.to(network, dtype=getattr(torch, dtype))  # diffusers' own warns of an empty list
        graphs[name] = export_network(name, network, folder, weights)
    packages = ("sdaug", "torch", "diffusers", "onnx", "onnxscript", "onnxruntime")
    return Engine(
        precision="float16" if dtype == "float16" else "float32",
        opset=OPSET,
        model=model.model_dump(exclude={"device"}),
        versions={package: version(package) for package in packages},
        unet=graphs["unet"],
        controlnet=graphs["controlnet"],
    )


@dataclass(frozen=True)
class Check:
    """An engine compared with PyTorch. sound: every difference is within the bounds of the engine's precision."""

    engine: Engine
    differences: list[Difference]

    @property
    def sound(self) -> bool:
        return all(sound(found, self.engine.precision) for found in self.differences)


def check_engine(
    folder: Path, *, provider: Provider = "cpu", model: ModelSettings | None = None, progress: Progress = lambda _: None
) -> Check:
    """The engine in `folder` beside its weights in PyTorch, float32 on the CPU. model: None is what it was built from.

    Raises `EngineError` for files that are damaged or weights that are not its own.
    """
    progress("comparing digests")
    engine = read_engine(folder)
    pipeline = load_on_cpu(model or ModelSettings.model_validate(engine.model), progress)
    networks = {"unet": pipeline.unet, "controlnet": pipeline.controlnet}
    for name, network in networks.items():
        check_weights(engine, folder, name, network_sha256(network))
    configs = {name: network.config for name, network in networks.items()}
    opened = open_networks(folder, engine, configs, pipeline.device, provider)
    progress("comparing answers")
    try:
        return Check(engine, compare(networks, opened, usual_cases(pipeline.unet.config)))
    finally:
        for network in opened.values():
            network.close()


def check_free(folder: Path) -> None:
    """Raises `EngineError` unless `folder` is not there yet, or empty."""
    if folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise EngineError(f"{folder} is not free; give a folder that does not exist yet or is empty")


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that becomes it when the block ends well, and is removed when it does not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".sdaug-engine-", dir=folder.parent))
    try:
        draft = staging / "new"
        draft.mkdir()
        yield draft
        os.replace(draft, folder)
    finally:
        shutil.rmtree(staging)


def check_disk(folder: Path, pipeline: Pipeline, bytes_each: int) -> None:
    """Raises `EngineError` unless there is room beside `folder` for `bytes_each` for every number of both networks."""
    numbers = sum(p.numel() for network in (pipeline.unet, pipeline.controlnet) for p in network.parameters())
    there = next(parent for parent in folder.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < 1.05 * bytes_each * numbers:
        raise EngineError(f"{there} has {free / 1e9:.1f} GB free; the engine needs {bytes_each * numbers / 1e9:.1f} GB")
