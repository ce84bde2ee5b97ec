"""A small Stable Diffusion with seeded random weights, used only where it is named: `model_id="random"`."""

import hashlib
import importlib
from typing import Any

from sdaug.diffusion.components import Components


def random_components(seed: int = 0) -> Components:
    """A small SD1.5 of the real classes with seeded random weights (0.4 M parameters): every code path, no artist.

    The global random state is left as it was. The ControlNet's output layers, zero in an untrained one, are random
    too, and the last layers are scaled up, so that noise, prompt and control image all show in the pixels.
    """
    import torch

    diffusers: Any = importlib.import_module("diffusers")  # its lazy names say nothing to a type checker
    blocks: dict[str, Any] = dict(block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4)
    blocks |= dict(down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"))
    denoiser = blocks | dict(cross_attention_dim=32, attention_head_dim=4)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would reseed every GPU as well, which fork_rng would have to put back.
        torch.default_generator.manual_seed(seed)
        unet = diffusers.UNet2DConditionModel(
            sample_size=64, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **denoiser
        )
        controlnet = diffusers.ControlNetModel(conditioning_embedding_out_channels=(4, 8, 8, 16), **denoiser)
        vae = diffusers.AutoencoderKL(
            block_out_channels=(4, 8, 8, 16),
            norm_num_groups=4,
            latent_channels=4,
            sample_size=512,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
        outputs: list[Any] = [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]
        for layer in outputs:
            torch.nn.init.normal_(layer.weight, std=0.2)
        for layer in controlnet.controlnet_cond_embedding.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
        lasts: list[Any] = [unet.conv_out, vae.encoder.conv_out, vae.quant_conv]
        for layer in lasts:
            torch.nn.init.kaiming_normal_(layer.weight)
        torch.nn.init.normal_(controlnet.controlnet_cond_embedding.conv_out.weight, std=1.0)
        torch.nn.init.normal_(vae.decoder.conv_out.weight, std=0.1)
        prompt_embeds, negative_prompt_embeds = torch.randn(2, 1, 77, 32).unbind(0)
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        # With "leading", SD1.5's own, the last step is at t=1 whatever their number: 1 of 2 or 1 of 4 changes nothing.
        timestep_spacing="trailing",
    )
    networks = {"unet": unet.eval(), "controlnet": controlnet.eval(), "vae": vae.eval()}
    return Components(
        **networks,
        scheduler=scheduler,
        digests={name: _state_sha256(network) for name, network in networks.items()},
        random=True,
        prompt_embeds=prompt_embeds,
        negative_prompt_embeds=negative_prompt_embeds,
        make_tiny_vae=random_tiny_vae,
        make_vae_encoder=random_vae_encoder,
    )


def random_tiny_vae(dtype: str, seed: int = 0) -> tuple[Any, str]:
    """A small AutoencoderTiny with seeded random weights in torch's `dtype` by name, and the sha256 of its state."""
    import torch

    diffusers: Any = importlib.import_module("diffusers")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        tiny = diffusers.AutoencoderTiny(
            encoder_block_out_channels=(4,) * 4,
            decoder_block_out_channels=(4,) * 4,
            num_encoder_blocks=(1, 1, 1, 1),
            num_decoder_blocks=(1, 1, 1, 1),
        )
        lasts: list[Any] = [tiny.encoder.layers[-1], tiny.decoder.layers[-1]]
        for layer in lasts:
            torch.nn.init.kaiming_normal_(layer.weight)
    digest = _state_sha256(tiny)
    return torch.nn.Module.to(tiny.eval(), dtype=getattr(torch, dtype)), digest


def random_vae_encoder(dtype: str, seed: int = 0) -> dict[str, Any]:
    """The encoder's half of `random_components`' VAE in torch's `dtype` by name."""
    import torch

    state = random_components(seed).vae.state_dict()
    wanted = {name: value for name, value in state.items() if name.startswith(("encoder.", "quant_conv."))}
    return {name: value.to(getattr(torch, dtype)) for name, value in wanted.items()}


def _state_sha256(network: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
