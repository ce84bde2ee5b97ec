"""The face part of lllyasviel's openpose ControlNet image: 70 points, drawn from the mesh, not found in a photo."""

import cv2
import numpy as np

# fmt: off
POINTS = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # 0-16 jaw, image left to right
    70, 63, 105, 66, 107,  # 17-21 brow on the image's left, outer end first
    336, 296, 334, 293, 300,  # 22-26 the other brow, inner end first
    168, 197, 5, 4,  # 27-30 bridge of the nose, downwards
    98, 97, 2, 326, 327,  # 31-35 under the nose
    33, 160, 158, 133, 153, 144,  # 36-41 eye on the image's left, clockwise from its outer corner
    362, 385, 387, 263, 373, 380,  # 42-47 the other eye, clockwise from its inner corner
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,  # 48-59 outer lips, clockwise from the image's left
    78, 81, 13, 311, 308, 402, 14, 178,  # 60-67 inner lips
    468, 473,  # 68-69 pupils
)
# fmt: on
"""MediaPipe's landmark for each of openpose's 70 face points: iBUG's 68 (Sagonas et al. 2013, 300 Faces in-the-Wild
Challenge, figure 1), then the pupils. Chosen by place on MediaPipe's canonical face; nobody publishes one mapping."""

RADIUS = 3


def openpose(landmarks: np.ndarray, size: int = 512) -> np.ndarray:
    """White dots at the 70 face points of `landmarks` (478, 3) in pixels of a `size` square: (size, size, 3) uint8 RGB.

    Points in the first row or column or outside the image are left out as the annotator does; hidden ones are drawn.
    """
    canvas = np.zeros((size, size, 3), np.uint8)
    for x, y in np.trunc(landmarks[list(POINTS), :2]).astype(int).tolist():
        if x > 0 and y > 0:
            cv2.circle(canvas, (x, y), RADIUS, (255, 255, 255), -1)
    return canvas
