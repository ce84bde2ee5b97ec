"""Full-size SD1.5 networks with random weights, run part by part."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sdaug.bench.case import Case
from sdaug.costmodel.architecture import Part, build
from sdaug.costmodel.figures import NOTHING
from sdaug.costmodel.parts import Dtype, PartName, count_part
from sdaug.costmodel.predict import Machine, floors, work_seconds
from sdaug.measure.memory import give_back

BATCHES: dict[PartName, tuple[int, ...]] = {
    "unet": (1, 2), "controlnet": (1, 2), "vae_encode": (1,), "vae_decode": (1,), "tiny_encode": (1,),
    "tiny_decode": (1, 2), "text_encoder": (1,),
}  # fmt: skip
"""By part; larger ones only at the smallest size."""


def part_cases(
    machine: Machine, device: str, dtype: Dtype, sizes: Sequence[int]
) -> Iterator[tuple[str, Callable[[], list[Case]]]]:
    """By network, what makes its cases: 3.5 GB at most, as long as whoever calls the next holds none of the last."""
    groups: dict[Part, tuple[PartName, ...]] = {
        "tiny_vae": ("tiny_encode", "tiny_decode"),
        "text_encoder": ("text_encoder",),
        "vae": ("vae_encode", "vae_decode"),
        "controlnet": ("controlnet",),
        "unet": ("unet",),
    }

    def cases(network: Part, parts: tuple[PartName, ...]) -> list[Case]:
        give_back()
        made = _made(network, device, dtype)
        return [
            _case(made, part, batch, size, machine, device, dtype)
            for part in parts
            for size in (sizes[:1] if part == "text_encoder" else sizes)
            for batch in (BATCHES[part] if size == min(sizes) else (1,))
        ]

    for network, parts in groups.items():
        yield network, partial(cases, network, parts)
    give_back()


def _made(network: Part, device: str, dtype: str) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return build(network, device="cpu", dtype=getattr(torch, dtype)).to(device)


def _case(network: Any, part: PartName, batch: int, size: int, machine: Machine, device: str, dtype: Dtype) -> Case:
    together: tuple[PartName, ...] = ("controlnet", "hint") if part == "controlnet" else (part,)
    counted = [count_part(name, batch, size, dtype) for name in together]
    predicted = sum((work_seconds(one, machine, dtype) for one in counted), NOTHING)
    floor, _ = floors(sum(one.flops for one in counted), machine, dtype)
    name = f"{part} {batch} x {size} {dtype}"
    return Case(name, "part", _runner(network, part, batch, size, device, dtype), predicted, floor)


def _runner(network: Any, part: PartName, batch: int, size: int, device: str, dtype: str) -> Callable[[], object]:
    import torch

    def random(*shape: int) -> Any:
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, getattr(torch, dtype))

    latents, prompts, pixels = (
        random(batch, 4, size // 8, size // 8), random(batch, 77, 768), random(batch, 3, size, size),
    )  # fmt: skip
    timestep = torch.tensor(500, device=device)
    tokens = torch.zeros((batch, 77), dtype=torch.int64, device=device)
    calls: dict[PartName, Callable[[], Any]] = {
        "unet": lambda: network(latents, timestep, encoder_hidden_states=prompts),
        "controlnet": lambda: network(latents, timestep, prompts, controlnet_cond=pixels),
        "vae_encode": lambda: network.encode(pixels),
        "vae_decode": lambda: network.decode(latents),
        "tiny_encode": lambda: network.encode(pixels),
        "tiny_decode": lambda: network.decode(latents),
        "text_encoder": lambda: network(tokens),
    }

    def run() -> object:
        with torch.inference_mode():
            return calls[part]()

    return run
