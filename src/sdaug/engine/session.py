"""onnxruntime on the execution provider that is named, never silently on another one."""

from pathlib import Path
from typing import Any, Literal

from sdaug.engine.manifest import EngineError, Graph, ProviderMissing

Provider = Literal["cpu", "cuda", "tensorrt"]

PROVIDERS: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Our names for onnxruntime's."""


def available_providers() -> list[str]:
    """Which of our names the installed onnxruntime was built with. That it can start them, only a session shows."""
    import onnxruntime

    built = onnxruntime.get_available_providers()
    return [name for name, theirs in PROVIDERS.items() if theirs in built]


def check_provider(provider: Provider) -> None:
    """Raises `ProviderMissing`, which says what there is."""
    there = available_providers()
    if provider not in there:
        raise ProviderMissing(
            f"this onnxruntime has no {PROVIDERS[provider]} ({provider!r}); it has: {', '.join(there)}. "
            "NVIDIA's come with onnxruntime-gpu, on a Jetson from its own package index"
        )


def open_session(path: Path, provider: Provider, options: dict[str, Any] | None = None) -> Any:
    """An InferenceSession of the graph at `path`. Raises `ProviderMissing`, and `EngineError` for an unreadable graph.

    options: of the provider, in onnxruntime's own words. Threads are as many as PyTorch uses.
    """
    import onnxruntime
    import torch

    check_provider(provider)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3  # errors; they are raised as well
    chosen = [(PROVIDERS[provider], options or {})]
    if provider == "tensorrt":  # runs what TensorRT leaves over
        chosen.append((PROVIDERS["cuda"], {k: v for k, v in (options or {}).items() if k == "device_id"}))
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=chosen)
    except Exception as error:  # onnxruntime's own, each of a class of its own, with nothing common but this
        raise EngineError(f"onnxruntime cannot run {path} on {provider!r}: {error}") from error
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise ProviderMissing(
            f"onnxruntime could not start {PROVIDERS[provider]} and would have gone on with "
            f"{session.get_providers()[0]}; see its log for the library it lacks"
        )
    return session


def tensorrt_options(
    graph: Graph,
    cache: Path,
    *,
    batches: tuple[int, int, int],
    sides: tuple[int, int, int],
    fp16: bool,
    int8: bool,
    device_id: int = 0,
) -> dict[str, Any]:
    """Options of the TensorRT provider: one optimisation profile, compiled engines kept in the folder `cache`.

    batches, sides: least, usual and most images at once and latents a side. Without a profile TensorRT builds anew
    whenever a shape is outside what it has seen.
    """
    options: dict[str, Any] = {
        "device_id": device_id,
        "trt_fp16_enable": fp16,
        "trt_int8_enable": int8,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
    }
    for word, batch, side in zip(("min", "opt", "max"), batches, sides, strict=True):
        options[f"trt_profile_{word}_shapes"] = ",".join(
            f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes_at(graph, batch, side).items()
        )
    return options


def trtexec_command(
    folder: Path, graph: Graph, *, batches: tuple[int, int, int], sides: tuple[int, int, int], int8: bool
) -> str:
    """The command of TensorRT's own tool that compiles a graph for the same profile as `tensorrt_options`."""
    parts = [f"trtexec --onnx={folder / graph.file}", f"--saveEngine={folder / graph.file}.plan", "--fp16"]
    if int8:
        parts.append("--int8")
    for word, batch, side in zip(("min", "opt", "max"), batches, sides, strict=True):
        shapes = ",".join(f"{n}:{'x'.join(map(str, s))}" for n, s in shapes_at(graph, batch, side).items())
        parts.append(f"--{word}Shapes={shapes}")
    return " ".join(parts)


def shapes_at(graph: Graph, batch: int, side: int) -> dict[str, list[int]]:
    """Shape of each input with an open dimension, for square latents of `side`.

    >>> shapes_at(Graph("u.onnx", {}, {"t": ["float", 1], "m": ["float", "batch", 9, "height", "width"],
    ...           "sample": ["float", "batch", 4, "8*height", "8*width"]}, {}), 2, 64)
    {'m': [2, 9, 8, 8], 'sample': [2, 4, 64, 64]}
    """
    multiple = multiple_of(graph)

    def length(dimension: Any) -> int:
        if isinstance(dimension, int):
            return dimension
        return batch if dimension == "batch" else _factor(dimension) * side // multiple

    return {
        name: [length(d) for d in dimensions]
        for name, (_, *dimensions) in graph.inputs.items()
        if any(isinstance(d, str) for d in dimensions)
    }


def multiple_of(graph: Graph) -> int:
    """What the latents' sides are multiples of."""
    return _factor(graph.inputs["sample"][-1])


def _factor(dimension: str) -> int:
    number = dimension.partition("*")[0]
    return int(number) if number.isdigit() else 1
