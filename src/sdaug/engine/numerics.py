"""How far an engine's answers are from PyTorch's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdaug.engine.export import TOKENS, face_dim
from sdaug.engine.manifest import Precision
from sdaug.engine.residuals import coarsest

BOUNDS: dict[Precision, tuple[float, float]] = {
    "float32": (1e-4, 1e-4),
    "float16": (0.02, 0.005),
    "int8": (float("inf"), 0.25),
}
"""Largest absolute and largest relative difference that a sound engine shows, the first of answers up to 1, else of the
largest. int8 is bounded by a quarter, which tells a broken engine from a coarse one; its manifest says how coarse."""


@dataclass(frozen=True)
class Case:
    """What is compared: a batch, latents `height` x `width`, and whether ControlNet's residuals go into the UNet."""

    batch: int
    height: int
    width: int
    controlled: bool = True


@dataclass(frozen=True)
class Difference:
    """Of one network in one case. max_abs: largest difference of an element; relative: norm of the difference over the
    norm of PyTorch's answer; largest: largest element of PyTorch's answer."""

    network: str
    case: Case
    max_abs: float
    relative: float
    largest: float


def usual_cases(config: Any) -> list[Case]:
    """Small ones of every kind: one image, one and three guided; square and not; with and without ControlNet."""
    m = coarsest(config)
    return [Case(1, 2 * m, 2 * m), Case(2, 2 * m, 4 * m), Case(6, 3 * m, m), Case(2, 4 * m, 2 * m, controlled=False)]


def compare(torch_networks: dict[str, Any], engine: dict[str, Any], cases: Sequence[Case]) -> list[Difference]:
    """Both answers to the same seeded random latents, text and hint. The UNets are given PyTorch's residuals.

    torch_networks: "unet" and "controlnet", the latter without its hint network. engine: `attach.open_networks`.
    """
    import torch

    found = []
    for case in cases:
        inputs, hint = _inputs(torch_networks["unet"].config, case)
        steered: dict[str, Any] = {}
        with torch.no_grad():
            if case.controlled:
                theirs = _answers(torch_networks["controlnet"], inputs, controlnet_cond=hint, conditioning_scale=0.65)
                ours = _answers(engine["controlnet"], inputs, controlnet_cond=hint, conditioning_scale=0.65)
                found.append(difference("controlnet", case, ours, theirs))
                steered = {"down_block_additional_residuals": theirs[:-1], "mid_block_additional_residual": theirs[-1]}
            if (face := face_dim(torch_networks["unet"])) is not None:
                generator = torch.Generator("cpu").manual_seed(case.batch + 1)
                embeds = torch.randn((case.batch, 1, 1, face), generator=generator)
                steered["added_cond_kwargs"] = {"image_embeds": [torch.nn.functional.normalize(embeds, dim=-1)]}
            theirs = _answers(torch_networks["unet"], inputs, **steered)
            found.append(difference("unet", case, _answers(engine["unet"], inputs, **steered), theirs))
    return found


def difference(network: str, case: Case, ours: Sequence[Any], theirs: Sequence[Any]) -> Difference:
    """Of several tensors taken as one."""
    import torch

    a, b = (torch.cat([part.detach().flatten().float().cpu() for part in parts]).double() for parts in (ours, theirs))
    gap = a - b
    return Difference(
        network,
        case,
        max_abs=float(gap.abs().max()),
        relative=float(gap.norm() / b.norm()),
        largest=float(b.abs().max()),
    )


def sound(found: Difference, precision: Precision) -> bool:
    """Whether a difference is within the bounds of its precision; one that is not a number is not."""
    max_abs, relative = BOUNDS[precision]
    return found.max_abs <= max_abs * max(1.0, found.largest) and found.relative <= relative


def _inputs(config: Any, case: Case) -> tuple[tuple[Any, Any, Any], Any]:
    import torch

    generator = torch.Generator("cpu").manual_seed(case.batch)

    def normal(*shape: int) -> Any:
        return torch.randn(shape, generator=generator)

    sample = normal(case.batch, config["in_channels"], case.height, case.width)
    text = normal(case.batch, TOKENS, config["cross_attention_dim"])
    hint = normal(case.batch, config["block_out_channels"][0], case.height, case.width)
    return (sample, torch.tensor(501), text), hint


def _answers(network: Any, inputs: tuple[Any, Any, Any], **more: Any) -> list[Any]:
    """Every tensor of an answer. More than one thing to a step is ControlNet's."""
    sample, timestep, text = inputs
    answer = network(sample, timestep, encoder_hidden_states=text, return_dict=False, **more)
    return [answer[0]] if len(answer) == 1 else [*answer[0], answer[1]]
