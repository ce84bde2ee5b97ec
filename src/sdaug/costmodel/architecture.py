"""The networks that are counted, as constructor arguments: SD1.5's and its ControlNet's, or a model folder's own.

Cost does not depend on weights, so these stand for the real ones wherever something is counted or timed.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

Part = Literal["unet", "controlnet", "vae", "tiny_vae", "text_encoder"]

PARTS: tuple[Part, ...] = get_args(Part)

SD15 = ""
"""Full-size Stable Diffusion 1.5, where `networks` is asked for."""

_BLOCKS: dict[str, Any] = dict(
    block_out_channels=(320, 640, 1280, 1280),
    layers_per_block=2,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    cross_attention_dim=768,
    attention_head_dim=8,
)
_CONFIGURATIONS: dict[Part, dict[str, Any]] = {
    # Not only what differs from diffusers' defaults: those may move.
    "unet": dict(
        sample_size=64,
        in_channels=4,
        out_channels=4,
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        **_BLOCKS,
    ),
    "controlnet": dict(in_channels=4, conditioning_embedding_out_channels=(16, 32, 96, 256), **_BLOCKS),
    "vae": dict(
        sample_size=512,
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.18215,
    ),
    "tiny_vae": dict(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        encoder_block_out_channels=(64, 64, 64, 64),
        decoder_block_out_channels=(64, 64, 64, 64),
        num_encoder_blocks=(1, 3, 3, 3),
        num_decoder_blocks=(3, 3, 3, 1),
    ),
    "text_encoder": dict(
        vocab_size=49408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        projection_dim=768,
    ),
}


@dataclass(frozen=True)
class Dimensions:
    """What the inputs of a model's networks measure.

    latents: channels of a latent. hint: channels of what ControlNet's hint network makes. prompt: features of a token.
    """

    latents: int
    hint: int
    prompt: int


def described(configurations: Mapping[str, Mapping[str, Any]]) -> str:
    """A model's networks as one word that can be compared and kept: canonical JSON of the `config.json` of each part.

    Parts that are left out are SD1.5's. Raises ValueError for a part that is none of PARTS.

    >>> described({})
    ''
    """
    unknown = [part for part in configurations if part not in PARTS]
    if unknown:
        raise ValueError(f"unknown network {unknown[0]!r}; there are: {', '.join(PARTS)}")
    return json.dumps(configurations, sort_keys=True, separators=(",", ":")) if configurations else SD15


@cache
def dimensions(networks: str = SD15) -> Dimensions:
    """Of the inputs of `networks`.

    >>> dimensions()
    Dimensions(latents=4, hint=320, prompt=768)
    """
    unet = _configuration("unet", networks)
    return Dimensions(unet["in_channels"], unet["block_out_channels"][0], unet["cross_attention_dim"])


def build(part: Part, *, device: str = "meta", dtype: Any = None, networks: str = SD15) -> Any:
    """One network in evaluation mode, its weights as its class initialises them.

    device: "meta" holds no weights and takes no memory; "cpu" and "cuda" hold real random ones, drawn from torch's
    global generator. A ControlNet's output layers are zero, as in an untrained one. dtype: a torch.dtype, float32 where
    not given. networks: from `described`. Raises ValueError for a name that is none of PARTS.
    """
    import torch

    if part not in _CONFIGURATIONS:
        raise ValueError(f"unknown network {part!r}; there are: {', '.join(PARTS)}")
    with torch.device(device):
        network = _made(part, _configuration(part, networks))
    return torch.nn.Module.to(network, dtype=dtype or torch.float32).eval()


def _configuration(part: Part, networks: str) -> dict[str, Any]:
    own = json.loads(networks).get(part) if networks else None
    return _CONFIGURATIONS[part] if own is None else own


_CLASSES: dict[Part, str] = {
    "unet": "UNet2DConditionModel",
    "controlnet": "ControlNetModel",
    "vae": "AutoencoderKL",
    "tiny_vae": "AutoencoderTiny",
}


def _made(part: Part, configuration: dict[str, Any]) -> Any:
    if part == "text_encoder":
        import transformers

        return transformers.CLIPTextModel(transformers.CLIPTextConfig(**configuration))
    import diffusers

    kind = getattr(diffusers, _CLASSES[part])
    # A file's configuration has entries that its class does not take: "_class_name", or what an older one took.
    known = inspect.signature(kind.__init__).parameters
    return kind(**{key: value for key, value in configuration.items() if key in known})
