"""The VAE run one image at a time."""

from typing import Any

from sdaug.levers import AbstractLever


class VaeSlicing(AbstractLever):
    """Encode and decode the images of a batch one after the other.

    Trades the little speed of a batched VAE for memory: its peak is that of one image whatever the batch. With one
    image a call, as angles are generated now, there is nothing to slice and it changes nothing.
    """

    def apply(self, pipe: Any) -> None:
        pipe.vae.enable_slicing()
