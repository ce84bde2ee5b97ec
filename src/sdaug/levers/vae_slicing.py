"""The VAE run one image at a time."""

from typing import ClassVar

from sdaug.levers import AbstractLever, Change, Pipeline, Quantity


class VaeSlicing(AbstractLever):
    """Decode the images of a batch one after the other.

    Trades the little speed of a batched VAE for memory: its peak is that of one image whatever the batch. Encoding is
    always one by one. With one image a batch there is nothing to slice and it changes nothing.
    """

    claims: ClassVar[dict[Quantity, Change]] = {"launches": "more", "bytes_moved": "more", "peak_bytes": "less"}

    def apply(self, pipeline: Pipeline) -> None:
        pipeline.vae.enable_slicing()
