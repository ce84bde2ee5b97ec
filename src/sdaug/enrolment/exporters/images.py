"""A folder of one person's images, for what makes its own templates: Frigate, CompreFace, Double Take."""

from pathlib import PurePosixPath
from typing import ClassVar, Literal

from sdaug.enrolment.exporters import AbstractExporter, ExportError
from sdaug.enrolment.opened import Bundle


class Images(AbstractExporter):
    """A folder `<subject>/NN-role.png` of the very bytes that the bundle holds, marks included; captured photos only,
    unless `include` is `all`.

    Frigate wants the inner folder under `clips/faces`, Double Take under its `train`, CompreFace one upload an image.
    """

    target: ClassVar[str] = "an image folder"

    include: Literal["captured", "all"] = "captured"

    def content(self, bundle: Bundle) -> dict[str, bytes]:
        paths = [sample.image for sample in bundle.samples if sample.image is not None]
        if not paths:
            raise ExportError(f"{self.target} needs images, this bundle keeps none; enrol with images to export them")
        return {f"{bundle.manifest.subject}/{PurePosixPath(path).name}": bundle.images[path] for path in paths}
