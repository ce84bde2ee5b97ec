"""The VAE run on overlapping squares of a picture."""

from typing import ClassVar

from pydantic import Field

from sdaug.levers import AbstractLever, Answer, Change, Pipeline, Quantity


class VaeTiling(AbstractLever):
    """Encode and decode in squares of `tile` pixels that overlap by a quarter (tiny VAE: an eighth) and are blended.

    Trades time and sameness for memory: a tile's normalisation sees that tile alone, so the picture shifts in tone from
    tile to tile. At 512 px tiles of 256 decode 55 % more pixels and take a quarter of the VAE's working memory;
    diffusers' own tile of 512 does nothing there. Slicing is free and does as much for a batch.
    """

    claims: ClassVar[dict[Quantity, Change]] = {
        "vae_pixels": "more",
        "flops": "varies",
        "launches": "more",
        "bytes_moved": "more",
        "peak_bytes": "less",
    }
    answer: ClassVar[Answer] = "nearby"

    # Below 128 the tiny VAE's tiles overlap by a single latent, and diffusers divides by the zero that is left.
    tile: int = Field(default=256, ge=128, le=1024, multiple_of=64)

    def apply(self, pipeline: Pipeline) -> None:
        vae = pipeline.vae
        vae.enable_tiling()
        vae.tile_sample_min_size, vae.tile_latent_min_size = self.tile, self.tile // 8
