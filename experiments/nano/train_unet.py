"""UNet and ControlNet of sdaug-nano, together, on the latents of pairs with exactly known holes. Resumable.

At inference a place is held at the noised photo until its step, then denoised (`strength.first_steps`), so early steps
see the warp's own filling of a hole and later ones what earlier steps made of it. Training shows just that: the source
in place of the truth, fully until a place's step, and after it as far as a perfect DDIM would still carry it along.

    python experiments/nano/train_unet.py --pairs build/nano/train --vae build/nano/vae --out build/nano/unet
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from latents import Latents, read_latents
from networks import new_controlnet, new_scheduler, new_unet, new_vae
from text import read_prompts, write_text
from training import Training, begun, reduced, trained

NEGATIVE = 0.1
"""Of the pictures, those shown with the negative prompt: their truth is the source, its crude holes included."""

SEEN = 0.25
"""Weight of what the photo shows; of what it does not, 1."""


def noised(
    truth: torch.Tensor, source: torch.Tensor, stays: torch.Tensor, generator: torch.Generator, kept: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(latents as a step would find them, what to predict, its weight, timesteps (B,)).

    truth, source: (B, 16, h, w). stays: (B, 1, h, w), 1 where the photo's own pixels come back. kept: (T,) the
    scheduler's alphas_cumprod.
    """
    count, steps = len(truth), len(kept)
    hole, face, when = torch.rand((3, count, 1, 1, 1), generator=generator)
    hole, face = 0.3 + 0.7 * hole, 0.15 + 0.5 * face
    begins = hole + (torch.minimum(face, hole) - hole) * stays
    timesteps = (when * hole * steps).long().clamp(0, steps - 1)
    alpha = kept[timesteps]

    def signal_to_noise(at: torch.Tensor) -> torch.Tensor:
        return (at / (1 - at)).sqrt()

    begin = kept[(begins * steps).long().clamp(0, steps - 1)]
    carried = (signal_to_noise(begin) / signal_to_noise(alpha)).clamp(max=1)
    noise = torch.randn(truth.shape, generator=generator)
    found = alpha.sqrt() * (truth + carried * (source - truth)) + (1 - alpha).sqrt() * noise
    wanted = (alpha.sqrt() * found - truth) / (1 - alpha).sqrt()
    # An error of v is one of the picture over sqrt(1 - alpha): nearly clean pictures would count for all.
    return found, wanted, (4 * (1 - alpha)).clamp(max=1), timesteps.flatten()


class Steps:
    """One step's loss, over crops of `side` latents. identity: what a face adapter is told of the pairs chosen."""

    def __init__(self, data: Latents, prompts: Path, batch: int, side: int, start: Path | None):
        both = read_prompts(prompts)
        self.data, self.batch, self.side = data, batch, side
        self.prompts = torch.cat([both.positive, both.negative])
        self.kept = new_scheduler().alphas_cumprod
        self.identity: Callable[[list[int], torch.Generator], dict[str, Any]] | None = None
        layout = torch.channels_last
        self.unet = begun(new_unet(), start, "unet").to(memory_format=layout)
        self.controlnet = begun(new_controlnet(), start, "controlnet").to(memory_format=layout)

    def __call__(self, _: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        chosen = torch.randint(len(self.data), (self.batch,), generator=generator).tolist()
        places = torch.randint(64 - self.side + 1, (self.batch, 2), generator=generator).tolist()
        negative = torch.rand(self.batch, generator=generator) < NEGATIVE

        def crops(whole: torch.Tensor) -> torch.Tensor:
            side = self.side
            cut = [whole[i, :, y : y + side, x : x + side] for i, (y, x) in zip(chosen, places, strict=True)]
            return torch.stack(cut).float()

        truth, source, known, stays = (
            crops(getattr(self.data, part)) for part in ("truth", "source", "known", "stays")
        )
        truth = torch.where(negative[:, None, None, None], source, truth)
        known = torch.where(negative[:, None, None, None], torch.ones_like(known), known)
        found, wanted, weight, timesteps = noised(truth, source, stays, generator, self.kept)
        hints = torch.stack(
            [
                self.data.control(i)[:, 8 * y : 8 * (y + self.side), 8 * x : 8 * (x + self.side)]
                for i, (y, x) in zip(chosen, places, strict=True)
            ]
        )
        prompts = self.prompts[negative.long()]
        told = self.identity(chosen, generator) if self.identity else None
        found, hints = (part.contiguous(memory_format=torch.channels_last) for part in (found, hints))
        with reduced():
            down, middle = self.controlnet(found, timesteps, prompts, hints, return_dict=False)
            predicted = self.unet(
                found,
                timesteps,
                prompts,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
                added_cond_kwargs=told,
                return_dict=False,
            )[0].float()
        error = weight * known * (predicted - wanted) ** 2
        holes = 1 - stays
        return {
            "hole": (error * holes).sum() / (known * holes).sum().clamp(min=1) / error.shape[1],
            "seen": SEEN * (error * stays).sum() / (known * stays).sum().clamp(min=1) / error.shape[1],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=32, help="of a crop, in latents; 64 is a whole picture")
    parser.add_argument("--learning-rate", type=float, default=8e-4)
    parser.add_argument("--start", type=Path, help="a model folder, or another training's, to go on from")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    write_text(asked.out)
    data = read_latents(asked.pairs, trained(new_vae(), asked.vae, "vae"))
    loss = Steps(data, asked.out, asked.batch, asked.side, asked.start)
    networks = {"unet": loss.unet, "controlnet": loss.controlnet}
    Training(networks, asked.out, asked.steps, asked.learning_rate).run(loss, asked.seed)


if __name__ == "__main__":
    main()
