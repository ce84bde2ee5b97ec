"""The VAE of sdaug-nano, on crops of photographs. Resumable; see training.py.

python experiments/nano/train_vae.py --faces FACES --out build/nano/vae
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from networks import new_vae
from pictures import Crops, colour, differences
from prepare import PEOPLE
from training import Training, begun, reduced


def losses(
    vae: torch.nn.Module, crops: torch.Tensor, generator: torch.Generator, disturbed: float
) -> dict[str, torch.Tensor]:
    """crops: (B, 3, S, S) float32 -1..1. Error at four scales, of edges and of colour; a little Kullback-Leibler
    divergence. disturbed: noise added to the latents, as a share of their spread: what comes from a UNet is never quite
    right, and the decoder has to bear it."""
    with reduced():
        spread = vae.encode(crops).latent_dist
        noise = torch.randn(spread.mean.shape, generator=generator)
        size = spread.std + disturbed * spread.mean.detach().std()
        made = vae.decode(spread.mean + size * noise, return_dict=False)[0].float()
    parts = {"kl": 1e-3 * 0.5 * (spread.mean**2 + spread.var - 1 - spread.logvar).float().mean()}
    error = made - crops
    return parts | differences(error) | {"colour": colour(error)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder that holds london/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--freeze-encoder-at", type=int, help="step from which only the decoder learns")
    parser.add_argument("--pairs", type=Path, help="of prepare.py, to learn from their truths too")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--disturbed", type=float, default=0.0, help="noise on the latents, as a share of their spread")
    parser.add_argument("--start", type=Path, help="a model folder, or another training's, to go on from")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    vae = begun(new_vae(), asked.start, "vae")
    crops = Crops(asked.faces, json.loads(PEOPLE.read_text())["train"], asked.pairs)
    training = Training({"vae": vae}, asked.out, asked.steps, asked.learning_rate)

    def step(number: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if asked.freeze_encoder_at is not None and number >= asked.freeze_encoder_at:
            vae.encoder.requires_grad_(False)  # latents that were encoded before stay what they are
        chosen = crops.draw(asked.batch, asked.side, np.random.default_rng([asked.seed, number]))
        return losses(vae, chosen, generator, asked.disturbed)

    training.run(step, asked.seed)


if __name__ == "__main__":
    main()
