r"""The tiny VAE of sdaug-nano: its decoder learns to draw the same latents, its encoder to make them. Resumable.

python experiments/nano/train_tiny_vae.py --faces FACES --vae build/nano/vae --pairs build/nano/train \
    --out build/nano/tiny_vae
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from networks import new_tiny_vae, new_vae
from pictures import Crops, colour, differences
from prepare import PEOPLE
from training import Training, begun, reduced, trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder that holds london/")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True, help="whose latents.pt says how the VAE's are scaled")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--start", type=Path, help="a model folder, or another training's, to go on from")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    vae = trained(new_vae(), asked.vae, "vae")
    factor = torch.load(asked.pairs / "latents.pt", weights_only=True)["scaling_factor"]
    tiny = begun(new_tiny_vae(), asked.start, "tiny_vae")
    crops = Crops(asked.faces, json.loads(PEOPLE.read_text())["train"], asked.pairs)
    training = Training({"tiny_vae": tiny}, asked.out, asked.steps, learning_rate=2e-3)

    def step(number: int, _: torch.Generator) -> dict[str, torch.Tensor]:
        pictures = crops.draw(asked.batch, asked.side, np.random.default_rng([asked.seed, number]))
        with reduced():
            with torch.no_grad():
                latents = vae.encode(pictures).latent_dist.mean * factor
            made = tiny.decode(latents, return_dict=False)[0].float()
            own = tiny.encode(pictures).latents.float()
        error = made - pictures
        return differences(error) | {"colour": colour(error), "latents": (own - latents).abs().mean()}

    training.run(step, asked.seed)


if __name__ == "__main__":
    main()
