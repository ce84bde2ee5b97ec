"""The work of a whole call, from the number of times each part runs."""

from dataclasses import dataclass
from typing import Literal

from sdaug.costmodel.parts import Dtype, count_part
from sdaug.costmodel.work import Work, total


@dataclass(frozen=True)
class Call:
    """How often each part runs for one call; evaluations are of one image.

    images: made by the call, `batch` of them at once at most. unet, controlnet: evaluations without guidance, where a
    network sees each image once; unet_guided, controlnet_guided: with guidance, where it sees each twice.
    hint: made "once" for each image, or "every" time ControlNet runs, as the stock pipelines do.
    source: whether the photo's side is encoded, or was before. prompts: texts encoded, one at a time.
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

    def __post_init__(self) -> None:
        counts = (self.images, self.batch, self.unet + self.unet_guided)
        if min(counts) < 1 or min(self.unet, self.unet_guided, self.controlnet, self.controlnet_guided) < 0:
            raise ValueError(f"{self}: at least one image, a batch of one and one evaluation expected")
        if self.controlnet > self.unet or self.controlnet_guided > self.unet_guided:
            raise ValueError(f"{self}: ControlNet runs only where the UNet does")


def count_call(call: Call) -> Work:
    """Everything the networks do for a call. Schedulers, resizing and blending are left out: under 0.1 % of it.

    The mission's 20 guided steps with ControlNet, an image, in TFLOP:

    >>> stock = Call(images=1, unet_guided=20, controlnet_guided=20, hint="every")
    >>> round(count_call(stock).flops / 1e12, 1)
    47.1
    """
    full, rest = divmod(call.images, call.batch)
    pieces: dict[Work, int] = {}

    def add(work: Work, times: int) -> None:
        pieces[work] = pieces.get(work, 0) + times

    for images, chunks in ((call.batch, full), (rest, 1)):
        if not images or not chunks:
            continue
        for seen, unet, controlnet in (
            (images, call.unet, call.controlnet),
            (2 * images, call.unet_guided, call.controlnet_guided),
        ):
            sizes = (seen, call.size, call.dtype)
            if unet > controlnet:
                add(count_part("unet", *sizes), chunks * (unet - controlnet))
            if controlnet:
                add(count_part("unet_residuals", *sizes), chunks * controlnet)
                add(count_part("controlnet", *sizes), chunks * controlnet)
                if call.hint == "every":
                    add(count_part("hint", *sizes), chunks * controlnet)
        if call.hint == "once" and call.controlnet + call.controlnet_guided:
            add(count_part("hint", images, call.size, call.dtype), chunks)
        decode = "vae_decode" if call.vae == "standard" else "tiny_decode"
        add(count_part(decode, images, call.size, call.dtype), chunks)
    if call.source:
        encode = "vae_encode" if call.vae == "standard" else "tiny_encode"
        add(count_part(encode, 1, call.size, call.dtype), call.images)
    if call.prompts:
        add(count_part("text_encoder", 1, call.size, call.dtype), call.prompts)
    return total(pieces)
