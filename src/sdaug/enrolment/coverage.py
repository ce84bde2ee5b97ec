"""Where the accepted samples look: each as measured, and counted on the grid of poses that the product makes."""

from collections.abc import Iterable, Sequence

from sdaug.enrolment.sample import Origin, Record, SampleRecord
from sdaug.types import ANGLES

YAWS = tuple(sorted({float(pose.yaw_deg) for pose in ANGLES if pose.pitch_deg == 0}))
PITCHES = tuple(sorted({float(pose.pitch_deg) for pose in ANGLES if pose.yaw_deg == 0}))
LETTERS: dict[Origin, str] = {"captured": "P", "classical": "w", "generated": "g"}
MISSING = "."


class Coverage(Record):
    """Where one accepted sample looks, degrees."""

    yaw_deg: float
    pitch_deg: float
    origin: Origin


class PoseMap(Record):
    """What there is nearest to each pose of a grid.

    yaw_deg, pitch_deg: the grid, rising; a sample beyond its end counts at the end. rows: one a pitch, one letter a
    yaw: P a photo, else w a warped image, else g a generated one, else `.`, where nothing looks.
    """

    yaw_deg: tuple[float, ...]
    pitch_deg: tuple[float, ...]
    rows: tuple[str, ...]

    def text(self) -> str:
        """The map as a table, pitch down and yaw across."""
        head = "pitch\\yaw" + "".join(f"{yaw:+5.0f}" for yaw in self.yaw_deg)
        body = [
            f"{pitch:+9.0f}" + "".join(f"{letter:>5}" for letter in row)
            for pitch, row in zip(self.pitch_deg, self.rows, strict=True)
        ]
        return "\n".join([head, *body])


def coverage(samples: Iterable[SampleRecord]) -> tuple[Coverage, ...]:
    """Where the accepted samples look, as measured; one whose pose could not be measured is left out."""
    return tuple(
        Coverage(yaw_deg=s.measured.yaw_deg, pitch_deg=s.measured.pitch_deg, origin=s.origin)
        for s in samples
        if s.row is not None and s.measured is not None
    )


def pose_map(points: Sequence[Coverage]) -> PoseMap:
    """The map of `points`, each at the pose of the grid that is nearest on either axis.

    >>> print(pose_map([Coverage(yaw_deg=2.0, pitch_deg=-1.0, origin="captured")]).text())
    pitch\\yaw  -45  -22   +0  +22  +45
          -30    .    .    .    .    .
          -15    .    .    .    .    .
           +0    .    .    P    .    .
          +15    .    .    .    .    .
          +30    .    .    .    .    .
    """
    seen = {(p.origin, nearest_of(PITCHES, p.pitch_deg), nearest_of(YAWS, p.yaw_deg)) for p in points}

    def letter(pitch: float, yaw: float) -> str:
        return next((mark for origin, mark in LETTERS.items() if (origin, pitch, yaw) in seen), MISSING)

    rows = tuple("".join(letter(pitch, yaw) for yaw in YAWS) for pitch in PITCHES)
    return PoseMap(yaw_deg=YAWS, pitch_deg=PITCHES, rows=rows)


def nearest_of(grid: Sequence[float], angle: float) -> float:
    """The value of `grid` nearest to `angle`; of two, the first.

    >>> nearest_of((-15.0, 0.0, 15.0), 40.0)
    15.0
    """
    return min(grid, key=lambda value: abs(value - angle))
