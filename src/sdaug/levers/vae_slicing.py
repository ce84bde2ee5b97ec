"""The VAE run one image at a time."""

from sdaug.levers import AbstractLever, Pipeline


class VaeSlicing(AbstractLever):
    """Decode the images of a batch one after the other.

    Trades the little speed of a batched VAE for memory: its peak is that of one image whatever the batch. Encoding is
    always one by one. With one image a batch there is nothing to slice and it changes nothing.
    """

    def apply(self, pipeline: Pipeline) -> None:
        pipeline.vae.enable_slicing()
