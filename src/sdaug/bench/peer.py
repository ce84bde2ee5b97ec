"""The warp that everybody has at hand, scikit-image's, on the points of our own head."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sdaug.synthesis.raster import facing
from sdaug.synthesis.stage import Stage
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

    It triangulates them itself and knows no hidden surfaces: its picture is for its time, not for its looks. It is kept
    to one BLAS thread, which is its best: its thousands of 3 by 3 systems get up to ten times slower on a busy machine
    where each of them is shared out.
    """
    from skimage.transform import PiecewiseAffineTransform, warp
    from threadpoolctl import threadpool_limits  # scikit-learn requires it

    target, origin, _ = facing_points(stage, source, pose)

    def draw() -> np.ndarray:
        with threadpool_limits(1):
            return warp(stage.image, estimated(), output_shape=stage.image.shape[:2])

    def estimated() -> Any:
        if hasattr(PiecewiseAffineTransform, "from_estimate"):
            return PiecewiseAffineTransform.from_estimate(target, origin)
        transform = PiecewiseAffineTransform()
        transform.estimate(target, origin)
        return transform

    return draw
