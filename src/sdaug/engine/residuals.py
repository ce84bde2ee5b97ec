"""What ControlNet hands to the UNet: one tensor for each skip connection, and one for the middle."""

from typing import Any


def residual_shapes(config: Any, batch: int, height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Shapes (B, C, h, w) of ControlNet's residuals, the middle one last, for latents of `height` x `width`.

    config: of a UNet2DConditionModel or ControlNetModel. SD1.5 has 13 of them.

    >>> sd15 = dict(block_out_channels=(320, 640, 1280, 1280), layers_per_block=2)
    >>> shapes = residual_shapes(sd15, 1, 64, 64)
    >>> len(shapes), shapes[0], shapes[3], shapes[-1]
    (13, (1, 320, 64, 64), (1, 320, 32, 32), (1, 1280, 8, 8))
    """
    channels = list(config["block_out_channels"])
    sizes = [(channels[0], 1)]
    for level, wide in enumerate(channels):
        sizes += [(wide, 2**level)] * config["layers_per_block"]
        if level < len(channels) - 1:
            sizes.append((wide, 2 ** (level + 1)))
    sizes.append((channels[-1], 2 ** (len(channels) - 1)))
    return [(batch, wide, height // shrink, width // shrink) for wide, shrink in sizes]


def coarsest(config: Any) -> int:
    """How many latents a side the deepest layer sees as one: latents' sides are multiples of it.

    >>> coarsest(dict(block_out_channels=(320, 640, 1280, 1280)))
    8
    """
    return 2 ** (len(config["block_out_channels"]) - 1)
