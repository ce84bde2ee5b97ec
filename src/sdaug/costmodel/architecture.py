"""The full-size networks of Stable Diffusion 1.5 and its ControlNet, as constructor arguments.

Cost does not depend on weights, so these stand for the real ones wherever something is counted or timed.
"""

from typing import Any, Literal, get_args

Part = Literal["unet", "controlnet", "vae", "tiny_vae", "text_encoder"]

PARTS: tuple[Part, ...] = get_args(Part)

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


def build(part: Part, *, device: str = "meta", dtype: Any = None) -> Any:
    """One network in evaluation mode, its weights as its class initialises them.

    device: "meta" holds no weights and takes no memory; "cpu" and "cuda" hold real random ones, drawn from torch's
    global generator. A ControlNet's output layers are zero, as in an untrained one. dtype: a torch.dtype, float32 where
    not given. Raises ValueError for a name that is none of PARTS.
    """
    import torch

    if part not in _CONFIGURATIONS:
        raise ValueError(f"unknown network {part!r}; there are: {', '.join(PARTS)}")
    with torch.device(device):
        network = _CLASSES[part](_CONFIGURATIONS[part])
    return torch.nn.Module.to(network, dtype=dtype or torch.float32).eval()


def _diffusers(name: str) -> Any:
    def made(configuration: dict[str, Any]) -> Any:
        import diffusers

        return getattr(diffusers, name)(**configuration)

    return made


def _text_encoder(configuration: dict[str, Any]) -> Any:
    import transformers

    return transformers.CLIPTextModel(transformers.CLIPTextConfig(**configuration))


_CLASSES: dict[Part, Any] = {
    "unet": _diffusers("UNet2DConditionModel"),
    "controlnet": _diffusers("ControlNetModel"),
    "vae": _diffusers("AutoencoderKL"),
    "tiny_vae": _diffusers("AutoencoderTiny"),
    "text_encoder": _text_encoder,
}
