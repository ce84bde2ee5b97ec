"""Exporters, one target a file: a verified bundle in, the bytes that another program reads out."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from sdaug.config import Config
from sdaug.enrolment.folder import write_folder
from sdaug.enrolment.manifest import Recogniser
from sdaug.enrolment.opened import Bundle
from sdaug.enrolment.sample import Sha256
from sdaug.enrolment.store import write_file

Content = bytes | dict[str, bytes]
"""What is written: one file, or a folder's files by their path in it."""


class ExportError(ValueError):
    """A bundle that the target cannot use; the message names what it holds and what the target takes."""


class AbstractExporter(Config, ABC):
    """A target. Abstract; each file beside this one holds one final class, which is its own frozen configuration.

    include: `captured` for the photos alone, `all` for views of them too. dim, recogniser_sha256: what the target that
    the export is for holds already; another bundle is refused. target: its name for people. metrics: how it can
    compare vectors. max_dim: the longest vector it takes.
    """

    target: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]] = ("cosine", "euclidean")
    max_dim: ClassVar[int | None] = None

    include: Literal["captured", "all"] = "all"
    dim: int | None = Field(None, ge=1)
    recogniser_sha256: Sha256 | None = None

    def export(self, bundle: Bundle) -> Content:
        """The target's bytes; the same for the same bundle and options. ExportError if it could not use them."""
        if found := self.misfits(bundle.manifest.recogniser):
            raise ExportError("; ".join(found))
        return self.content(bundle if self.include == "all" else bundle.captured())

    def misfits(self, recogniser: Recogniser) -> list[str]:
        """Why the target cannot use vectors of this recogniser, each reason naming both."""
        held = (
            f"the bundle's are of {recogniser.name} {recogniser.sha256}: {recogniser.dim} numbers, {recogniser.metric}"
        )
        found = []
        if recogniser.metric not in self.metrics:
            takes = " or ".join(self.metrics)
            found.append(f"{self.target} compares vectors by {takes}, {held}")
        if self.dim is not None and recogniser.dim != self.dim:
            found.append(f"{self.target} holds vectors of {self.dim} numbers, {held}")
        if self.max_dim is not None and recogniser.dim > self.max_dim:
            found.append(f"{self.target} takes vectors of {self.max_dim} numbers at most, {held}")
        if self.recogniser_sha256 not in (None, recogniser.sha256):
            found.append(f"{self.target} holds vectors of the recogniser {self.recogniser_sha256}, {held}")
        return found

    @abstractmethod
    def content(self, bundle: Bundle) -> Content:
        """The bytes for a bundle that fits, of its samples as given."""


def write_export(out: Path, content: Content) -> Path:
    """Write an export at `out`, whole or not at all, readable by the owner only. FileExistsError if there is something:
    an export replaces nothing."""
    out = out.absolute()
    if isinstance(content, dict):
        return write_folder(out, content)
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} exists; an export replaces nothing")
    return write_file(out, content)
