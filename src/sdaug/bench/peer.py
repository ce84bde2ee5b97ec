"""The warp that everybody has at hand, scikit-image's, on the points of our own head."""

from collections.abc import Callable

import numpy as np

from sdaug.synthesis.raster import facing
from sdaug.synthesis.warp import Stage
from sdaug.types import Pose


def facing_points(stage: Stage, source: Pose, pose: Pose) -> tuple[np.ndarray, np.ndarray, int]:
    """Where the corners of all triangles facing the camera at `pose` are to go, where they come from in a photo whose
    own pose is `source`, (P, 2) pixels each, and how many triangles those are."""
    flat = stage.head.posed(pose)[1]
    front = stage.head.triangles[facing(flat[stage.head.triangles]) > 1e-3]
    corners = np.unique(front)
    return flat[corners], stage.head.posed(source)[1][corners], len(front)


def peer_view(stage: Stage, source: Pose, pose: Pose) -> Callable[[], np.ndarray]:
    """A call that draws the view with PiecewiseAffineTransform and warp: the same points, hence as many triangles.

    It triangulates them itself and knows no hidden surfaces: its picture is for its time, not for its looks.
    """
    from skimage.transform import PiecewiseAffineTransform, warp

    target, origin, _ = facing_points(stage, source, pose)

    def draw() -> np.ndarray:
        if hasattr(PiecewiseAffineTransform, "from_estimate"):
            transform = PiecewiseAffineTransform.from_estimate(target, origin)
        else:
            transform = PiecewiseAffineTransform()
            transform.estimate(target, origin)
        return warp(stage.image, transform, output_shape=stage.image.shape[:2])

    return draw
