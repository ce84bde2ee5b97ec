"""Crops to train the VAE on: the people that train, and scikit-image's own pictures for texture."""

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as functional

from sdaug.face.photo import read_photo

TEXTURES = (
    "brick.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png", "moon.png", "motorcycle_left.png",
    "motorcycle_right.png", "rocket.jpg",
)  # fmt: skip
"""Files of scikit-image's wheel. Not the astronaut: she is who the demo turns."""

FACES_SHARE = 0.8


def read_textures() -> list[np.ndarray]:
    """Each (H, W, 3) uint8 RGB."""
    import skimage

    return [read_photo(Path(skimage.__file__).parent / "data" / name).pixels for name in TEXTURES]


class Crops:
    """Photographs held in memory, and crops of them by random scale, place, mirroring, light, colour and tint.

    pairs: a folder of prepare.py's, whose truths show the same people before other backgrounds.
    """

    def __init__(self, faces: Path, people: list[str], pairs: Path | None = None):
        paths = [path for person in people for path in sorted((faces / "london").glob(f"{person}_*"))]
        paths += sorted(pairs.glob("*_truth.png")) if pairs else []
        self.faces = [read_photo(path).pixels for path in paths]
        self.textures = read_textures()

    def draw(self, count: int, side: int, generator: np.random.Generator) -> torch.Tensor:
        """(count, 3, side, side) float32 -1..1."""
        crops = []
        for _ in range(count):
            of = self.faces if generator.random() < FACES_SHARE else self.textures
            crops.append(_crop(of[generator.integers(len(of))], side, generator))
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def differences(error: torch.Tensor) -> dict[str, torch.Tensor]:
    """Parts of a loss for `error` (B, 3, H, W): absolute, of edges, and over squares of 2, 4 and 8 pixels."""
    return {
        "error": error.abs().mean(),
        "edges": 0.5 * (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()),
        "coarse": sum((functional.avg_pool2d(error, n).abs().mean() for n in (2, 4, 8)), torch.zeros(())),
    }


def colour(error: torch.Tensor) -> torch.Tensor:
    """The part of a loss for `error` (B, 3, H, W) in red and blue against green.

    Of faces colour is the smallest part. By the absolute error alone one of its two axes was never learned: neither
    half of the network gains by it as long as the other does not. The square over 8 pixels pulls it out of that.
    """
    chroma = error[:, ::2] - error[:, 1:2]
    return chroma.abs().mean() + 10 * functional.avg_pool2d(chroma, 8).square().mean()


def _crop(picture: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
    scale = max(generator.uniform(0.7, 1.4), 1.01 * side / min(picture.shape[:2]))
    cut = int(np.ceil(side / scale))
    y, x = (generator.integers(0, most - cut + 1) for most in picture.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    crop = cv2.resize(picture[y : y + cut, x : x + cut], (side, side), interpolation=how)
    if generator.random() < 0.5:
        crop = crop[:, ::-1]
    values = recoloured(crop, generator)
    return _turned_hue(values, generator) if generator.random() < 0.5 else values


def _turned_hue(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """In any hue: faces and grey walls have hardly a green or a violet, and a VAE that sees none drops that axis."""
    axis, angle = np.full(3, 1 / np.sqrt(3)), generator.uniform(0, 2 * np.pi)
    turn, _ = cv2.Rodrigues(axis * angle)
    return np.clip(values @ turn.T.astype(np.float32), -1, 1)


def recoloured(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """`picture` (H, W, 3) uint8 as float32 -1..1 in other light, contrast, saturation and tint."""
    light, contrast, tint = generator.uniform(-0.25, 0.25), generator.uniform(0.6, 1.15), generator.normal(0, 0.08, 3)
    values = picture.astype(np.float32) / 127.5 - 1
    grey = values.mean(2, keepdims=True)
    values = grey + (values - grey) * np.float32(generator.uniform(0.6, 2.0))
    return np.clip(values * np.float32(contrast) + (light + tint).astype(np.float32), -1, 1)


def backdrop(textures: list[np.ndarray], height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """(height, width, 3) uint8: a part of a texture, out of focus by a random amount, or a plain wall lit unevenly."""
    if generator.random() < 0.5:
        ends = generator.integers(20, 235, (2, 2, 3)).astype(np.float32)
        ends = ends.mean((0, 1)) + 0.3 * (ends - ends.mean((0, 1)))
        return np.clip(cv2.resize(ends, (width, height), interpolation=cv2.INTER_LINEAR), 0, 255).astype(np.uint8)
    texture = textures[generator.integers(len(textures))]
    share = generator.uniform(0.3, 1.0)
    rows, columns = (max(8, int(share * most)) for most in texture.shape[:2])
    y, x = generator.integers(texture.shape[0] - rows + 1), generator.integers(texture.shape[1] - columns + 1)
    part = cv2.resize(texture[y : y + rows, x : x + columns], (width, height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(part, (0, 0), float(generator.uniform(0.5, 24)))
