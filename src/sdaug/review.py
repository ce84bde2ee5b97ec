"""Looking at what was made before it is enrolled: the widgets of the notebook `enrol`."""

import io
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import RunSettings
from sdaug.contact import contact_sheet
from sdaug.enrol import created_now, enrol_records, reviewed
from sdaug.enrolment.verify import verify_bundle
from sdaug.face.photo import decode_photo, read_photo
from sdaug.photos import photo_path, photos_in
from sdaug.types import AngleResult, Augmentation, Photo, PhotoError

PREVIEW_PX = 168


class EnrolmentForm:
    """A photo, how many angles, and what became of each with a switch to accept it; then the bundle.

    photo: a file, a folder of which one is picked, or the built-in photo's name. Every button is a method too, so that
    the notebook runs without anybody at it. widget: what to display.
    """

    def __init__(self, settings: RunSettings, photo: str, subject: str, out: Path):
        self._w: Any = import_module("ipywidgets")
        self.settings, self.out = settings, out
        files = photos_in(photo) if Path(photo).is_dir() else [photo_path(photo)]
        self.photo: Photo = read_photo(files[0])
        self.record: Augmentation | None = None
        self._augmentor = GenerativeAugmentor(settings=settings)
        self.pick = self._w.Dropdown(options=[(path.stem, path) for path in files], description="photo")
        self.upload = self._w.FileUpload(accept="image/*", multiple=False, description="another photo")
        self.angles = self._w.IntSlider(settings.generation.num_angles, 1, 10, description="angles")
        self.subject = self._w.Text(subject, description="subject")
        self.progress = self._w.IntProgress(0, 0, 1, description="ready")
        self.grid = self._w.GridBox(layout={"grid_template_columns": f"repeat(auto-fill, {PREVIEW_PX + 12}px)"})
        self.told = self._w.HTML()
        self._accepted: dict[int, Any] = {}
        self.pick.observe(lambda _: self._said(self.take_picked), names="value")
        self.upload.observe(lambda _: self._said(self.take_upload), names="value")
        buttons = [self._button("generate", self.generate), self._button("enrol", self.enrol)]
        controls = [self.pick, self.upload, self.angles, self.subject, self._w.HBox(buttons), self.progress]
        self.widget = self._w.VBox([*controls, self.grid, self.told])

    def take_upload(self) -> None:
        """The uploaded file is the photo from now on."""
        (file,) = self.upload.value
        self._take(decode_photo(bytes(file["content"]), file["name"]))

    def take_picked(self) -> None:
        """The file picked from the list is the photo from now on."""
        self._take(read_photo(self.pick.value))

    def generate(self) -> Augmentation:
        """All angles of the photo, shown as they stand; raises PhotoError where it cannot be used."""
        self.progress.value, self.progress.max = 0, self.angles.value
        self.progress.description = "at work"
        self.record = self._augmentor.augment(self.photo, num_angles=self.angles.value, progress=self._step)
        self.progress.description = "done"
        self._accepted = {angle.index: self._switch(angle) for angle in self.record.accepted}
        self.grid.children = [self._tile(angle) for angle in self.record.angles]
        return self.record

    def enrol(self) -> dict[str, Any]:
        """Writes the bundle of what was accepted, verifies it, and returns its rows and where they come from."""
        record = self.generate() if self.record is None else self.record
        rejected = [index for index, switch in self._accepted.items() if not switch.value]
        enrol_records(
            [self.photo], [reviewed(record, rejected)], self.subject.value, self.out, self.settings,
            self._augmentor.pack, reviewed_at=created_now(), overwrite=True,
        )  # fmt: skip
        report = verify_bundle(self.out)
        self.told.value = f"{report.rows} vectors instead of the photo's own alone in {self.out}, verified"
        return {"rows": report.rows, "by_origin": report.by_origin}

    def reject(self, index: int) -> None:
        """As a click on the switch of an accepted angle. Raises KeyError for another."""
        self._accepted[index].value = False

    def sheet(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB: source, views and what diffusion made, side by side."""
        return contact_sheet(self.photo, (self.record or self.generate()).angles)

    def close(self) -> None:
        """Gives the models' memory back."""
        self._augmentor.cleanup()

    def _take(self, photo: Photo) -> None:
        self.photo, self.record = photo, None
        self.grid.children, self._accepted = (), {}
        self.progress.value, self.progress.description = 0, "ready"

    def _step(self, done: int, total: int) -> None:
        self.progress.value, self.progress.description = done, f"{done} of {total}"

    def _button(self, name: str, action: Callable[[], Any]) -> Any:
        button = self._w.Button(description=name)
        button.on_click(lambda _: self._said(action))
        return button

    def _said(self, action: Callable[[], Any]) -> None:
        """A click's error is told where the person looks."""
        try:
            self.told.value = ""
            action()
        except (PhotoError, ValueError) as error:
            self.progress.description = "refused"
            text = self._w.Label(str(error))
            self.grid.children = (text,)

    def _switch(self, angle: AngleResult) -> Any:
        pose = angle.requested
        return self._w.ToggleButton(
            True, description="accept", tooltip=f"accept {pose.yaw_deg:+.0f}, {pose.pitch_deg:+.0f}"
        )

    def _tile(self, angle: AngleResult) -> Any:
        pose = self._w.Label(f"yaw {angle.requested.yaw_deg:+.0f}, pitch {angle.requested.pitch_deg:+.0f}")
        if angle.image is None:
            return self._w.VBox([pose, self._w.Label(", ".join(reason.value for reason in angle.judgement.reasons))])
        buffer = io.BytesIO()
        Image.fromarray(angle.image).resize((PREVIEW_PX, PREVIEW_PX)).save(buffer, format="PNG")
        return self._w.VBox([pose, self._w.Image(value=buffer.getvalue()), self._accepted[angle.index]])
