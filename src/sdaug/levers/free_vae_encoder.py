"""The VAE's encoder away from the device while nothing is encoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from sdaug.levers import AbstractLever, Change, LeverSkipped, Pipeline, Quantity


class FreeVaeEncoder(AbstractLever):
    """Keep the VAE's encoder (68 MB in float16) only while a photo is encoded.

    Trades time at each new photo for memory: on a GPU with memory of its own the encoder waits in the processor's;
    where memory is shared that would free nothing, so it is dropped and read again from its file.
    """

    claims: ClassVar[dict[Quantity, Change]] = {"weight_bytes": "less", "peak_bytes": "less"}
    excludes: ClassVar[dict[str, str]] = {
        "tiny_vae": "the tiny VAE's encoder is 2.5 MB, there is nothing to free",
        "model_cpu_offload": "that moves the whole VAE already",
        "sequential_cpu_offload": "that moves the whole VAE already",
    }

    def apply(self, pipeline: Pipeline) -> None:
        import torch

        if pipeline.read_vae_encoder is None and not pipeline.memory_of_its_own:
            raise LeverSkipped(
                "memory is shared here, and the encoder cannot be read again alone: its file is no safetensors"
            )
        vae = pipeline.vae
        parts = [part for part in (vae.encoder, vae.quant_conv) if part is not None]
        aside = torch.device("cpu" if pipeline.memory_of_its_own else "meta")

        @contextmanager
        def encoding() -> Iterator[None]:
            if aside.type == "meta":
                _read_again(pipeline)
            _move(parts, pipeline.device)
            try:
                yield
            finally:
                _move(parts, aside)

        pipeline.encoding = encoding
        _move(parts, aside)


def _move(parts: list[Any], device: Any) -> None:
    for part in parts:
        part.to(device)


def _read_again(pipeline: Pipeline) -> None:
    assert pipeline.read_vae_encoder is not None
    state = pipeline.read_vae_encoder(pipeline.dtype_name)
    found = pipeline.vae.load_state_dict(state, strict=False, assign=True)
    missing = [name for name in found.missing_keys if name.startswith(("encoder.", "quant_conv."))]
    if missing or found.unexpected_keys:
        raise RuntimeError(f"the VAE's file has changed since it was loaded: {missing or found.unexpected_keys} differ")
