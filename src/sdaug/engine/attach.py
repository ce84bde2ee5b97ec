"""An engine folder put in the place of a pipeline's UNet and ControlNet."""

import logging
from pathlib import Path
from typing import Any

from sdaug.engine.fingerprint import network_sha256
from sdaug.engine.manifest import Engine, check_weights, read_engine
from sdaug.engine.network import OnnxControlNet, OnnxNetwork, OnnxUnet
from sdaug.engine.processor import int8_instructions
from sdaug.engine.session import Provider, check_provider, multiple_of, open_session, tensorrt_options

log = logging.getLogger("sdaug.engine")

CLASSES: dict[str, type[OnnxNetwork]] = {"unet": OnnxUnet, "controlnet": OnnxControlNet}


def open_networks(
    folder: Path,
    engine: Engine,
    configs: dict[str, Any],
    device: Any,
    provider: Provider,
    provider_options: dict[str, dict[str, Any]] | None = None,
) -> dict[str, OnnxNetwork]:
    """Both networks of an engine, by name. configs: the PyTorch networks' configurations, by name."""
    opened: dict[str, OnnxNetwork] = {}
    for name, graph in engine.graphs.items():
        session = open_session(folder / graph.file, provider, (provider_options or {}).get(name))
        opened[name] = CLASSES[name](session, configs[name], device)
    return opened


def attach(
    pipeline: Any,
    folder: Path,
    provider: Provider,
    *,
    fp16: bool,
    max_batch: int,
    max_size: int,
    cache: Path | None,
) -> Engine:
    """Replaces `pipeline.unet` and `pipeline.controlnet` by the engine in `folder`, and frees the PyTorch ones.

    Raises `ProviderMissing` before anything is read, and `EngineError` for a folder that is damaged or was made from
    other weights. fp16, max_batch, max_size (images at once, pixels a side), cache: for TensorRT alone; cache None is
    `tensorrt/` inside the folder.
    """
    check_provider(provider)
    engine = read_engine(folder)
    networks = {"unet": pipeline.unet, "controlnet": pipeline.controlnet}
    for name, network in networks.items():
        check_weights(engine, folder, name, network_sha256(network))
    configs = {name: network.config for name, network in networks.items()}
    device = pipeline.device if provider != "cpu" else "cpu"
    options = None if provider == "cpu" else {name: {"device_id": pipeline.device.index or 0} for name in networks}
    if provider == "tensorrt":
        compiled = cache or folder / "tensorrt"
        compiled.mkdir(parents=True, exist_ok=True)
        options = {
            name: tensorrt_options(
                graph,
                compiled,
                batches=(1, min(2, max_batch), max_batch),
                sides=(multiple_of(graph), min(64, max_size // 8), max_size // 8),
                fp16=fp16,
                int8=engine.precision == "int8",
                device_id=pipeline.device.index or 0,
            )
            for name, graph in engine.graphs.items()
        }
    if engine.precision == "int8" and provider == "cpu" and int8_instructions() == []:
        log.warning("this CPU has no instruction for int8: %s runs, in several for each product", folder)
    # Freed first: an engine is as large as what it replaces.
    for network in networks.values():
        network.to("meta")
    opened = open_networks(folder, engine, configs, device, provider, options)
    pipeline.unet, pipeline.controlnet = opened["unet"], opened["controlnet"]
    pipeline.undo += [network.close for network in opened.values()]
    log.info("%s engine of %s on %s", engine.precision, folder, provider)
    return engine
