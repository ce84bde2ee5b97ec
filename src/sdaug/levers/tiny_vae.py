"""A small VAE in place of the model's own."""

from typing import ClassVar

from sdaug.levers import AbstractLever, Answer, Change, LeverSkipped, Pipeline, Quantity, Stage


class TinyVae(AbstractLever):
    """Replace the VAE by an AutoencoderTiny, read from `vae_id`, a hub id or a folder. Unset, it is the one in the
    model's own folder `tiny_vae/`, else TAESD. revision: unset, the hub's main.

    Trades fine detail of what is invented for time and memory: TAESD decodes a 512 px picture with 141 GFLOP instead of
    2515 and a quarter of the working memory. The photo's own pixels do not pass through it.
    The random model gets a random one.
    """

    stage: ClassVar[Stage] = "weights"
    claims: ClassVar[dict[Quantity, Change]] = {
        "weight_bytes": "less",
        "flops": "less",
        "launches": "less",
        "bytes_moved": "less",
        "peak_bytes": "less",
    }
    answer: ClassVar[Answer] = "other"

    vae_id: str | None = None
    revision: str | None = None

    def apply(self, pipeline: Pipeline) -> None:
        if pipeline.read_tiny_vae is None:
            raise LeverSkipped("nothing here can read a tiny VAE")
        pipeline.vae, pipeline.digests["vae"] = pipeline.read_tiny_vae(self.vae_id, self.revision, pipeline.dtype_name)
