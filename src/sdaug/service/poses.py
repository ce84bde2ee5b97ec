"""What the poses of `sdaug.types.ANGLES` are called where people read them, in their order."""

POSES = (
    "frontal",
    "left 45",
    "right 45",
    "up 30",
    "down 30",
    "left 22",
    "right 22",
    "up 15",
    "down 15",
    "left 30, up 15",
)
