"""Traditional augmentation: the portrait in other light, slightly turned in the plane, mirrored, softer."""

import threading
from collections.abc import Callable

import numpy as np

from sdaug.types import Pose

TURN_DEG = 8.0
"""In the plane; a recogniser's alignment takes most of it out again."""


def _read() -> None:
    import torchvision.transforms.v2  # noqa: F401


_reader = threading.Thread(target=_read, daemon=True)


def read_ahead() -> None:
    """Begins to load what the variations are made with: seconds that the first one would wait and the first photo need
    not."""
    if _reader.ident is None:
        _reader.start()


def wait_until_read(step: Callable[..., None]) -> None:
    """A word every few seconds meanwhile: on a busy machine loading takes longer than a worker may be silent."""
    while _reader.is_alive():
        _reader.join(5.0)
        step("loading")


def variations(pixels: np.ndarray, pose: Pose) -> dict[str, tuple[np.ndarray, Pose]]:
    """Nine variations by role: image (H, W, 3) uint8 RGB and the pose at which it shows the head. No randomness.

    pixels: (H, W, 3) uint8 RGB; pose: of the head in it.
    """
    import torch
    from torchvision.transforms.v2 import functional as tv

    grey = [127.0, 127.0, 127.0]
    changes: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "darker": lambda x: tv.adjust_brightness(x, 0.8),
        "brighter": lambda x: tv.adjust_brightness(x, 1.2),
        "less_contrast": lambda x: tv.adjust_contrast(x, 0.8),
        "more_contrast": lambda x: tv.adjust_contrast(x, 1.2),
        "less_colour": lambda x: tv.adjust_saturation(x, 0.6),
        "turned_left": lambda x: tv.rotate(x, TURN_DEG, tv.InterpolationMode.BILINEAR, fill=grey),
        "turned_right": lambda x: tv.rotate(x, -TURN_DEG, tv.InterpolationMode.BILINEAR, fill=grey),
        "mirrored": tv.horizontal_flip,
        "softer": lambda x: tv.gaussian_blur(x, [5, 5], [0.8, 0.8]),
    }
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    mirrored = Pose(-pose.yaw_deg, pose.pitch_deg, -pose.roll_deg)
    return {
        role: (
            np.ascontiguousarray(change(tensor).numpy().transpose(1, 2, 0)),
            mirrored if role == "mirrored" else pose,
        )
        for role, change in changes.items()
    }
