"""The work of a whole call, from the number of times each part runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sdaug.costmodel.networks import PLAIN, Variant
from sdaug.costmodel.parts import Dtype, PartCost, PartName, count_part
from sdaug.costmodel.work import Work, total


@dataclass(frozen=True)
class Call:
    """How often each part runs for one call; evaluations are of one image.

    images: made by the call, `batch` of them at once at most. unet, controlnet: evaluations without guidance, where a
    network sees each image once; unet_guided, controlnet_guided: with guidance, where it sees each twice.
    hint: made "once" for each image, or "every" time ControlNet runs, as the stock pipelines do.
    source: whether the photo's side is encoded, or was before. prompts: texts encoded, one at a time.
    vae_slicing: the VAE decodes one image at a time. variant: what else is done to the networks.
    """

    images: int
    unet: int = 0
    unet_guided: int = 0
    controlnet: int = 0
    controlnet_guided: int = 0
    hint: Literal["once", "every"] = "once"
    vae: Literal["standard", "tiny"] = "standard"
    source: bool = True
    prompts: int = 0
    batch: int = 1
    size: int = 512
    dtype: Dtype = "float16"
    vae_slicing: bool = False
    variant: Variant = PLAIN

    def __post_init__(self) -> None:
        counts = (self.images, self.batch, self.unet + self.unet_guided)
        if min(counts) < 1 or min(self.unet, self.unet_guided, self.controlnet, self.controlnet_guided) < 0:
            raise ValueError(f"{self}: at least one image, a batch of one and one evaluation expected")
        if self.controlnet > self.unet or self.controlnet_guided > self.unet_guided:
            raise ValueError(f"{self}: ControlNet runs only where the UNet does")


@dataclass(frozen=True)
class Piece:
    """A part that runs `times` times on `images` at once; `work` is of one run."""

    part: PartName
    images: int
    work: PartCost
    times: int


def pieces(call: Call) -> Iterator[Piece]:
    """What the networks do for a call, part by part. Schedulers, resizing and blending are left out: under 0.1 % of it
    on a processor. The same part may come more than once."""

    def piece(part: PartName, images: int, times: int) -> Piece:
        return Piece(part, images, count_part(part, images, call.size, call.dtype, call.variant), times)

    if call.source:
        yield piece("vae_encode" if call.vae == "standard" else "tiny_encode", 1, call.images)
    if call.prompts:
        yield piece("text_encoder", 1, call.prompts)
    full, rest = divmod(call.images, call.batch)
    for images, chunks in ((call.batch, full), (rest, 1)):
        if not images or not chunks:
            continue
        if call.hint == "once" and call.controlnet + call.controlnet_guided:
            yield piece("hint", images, chunks)
        for seen, unet, controlnet in (
            (images, call.unet, call.controlnet),
            (2 * images, call.unet_guided, call.controlnet_guided),
        ):
            if unet > controlnet:
                yield piece("unet", seen, chunks * (unet - controlnet))
            if controlnet:
                yield piece("unet_residuals", seen, chunks * controlnet)
                yield piece("controlnet", seen, chunks * controlnet)
                if call.hint == "every":
                    yield piece("hint", seen, chunks * controlnet)
        together = 1 if call.vae_slicing else images
        decode: PartName = "vae_decode" if call.vae == "standard" else "tiny_decode"
        yield piece(decode, together, chunks * images // together)


def count_call(call: Call) -> Work:
    """Everything that `pieces` lists, as one piece of work.

    The mission's 20 guided steps with ControlNet, an image, in TFLOP:

    >>> stock = Call(images=1, unet_guided=20, controlnet_guided=20, hint="every")
    >>> round(count_call(stock).flops / 1e12, 1)
    47.1
    """
    counts: dict[Work, int] = {}
    for piece in pieces(call):
        counts[piece.work] = counts.get(piece.work, 0) + piece.times
    return total(counts)
