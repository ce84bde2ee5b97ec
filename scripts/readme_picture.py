"""Makes the README's picture: scikit-image's astronaut (NASA, public domain) turned to all ten poses by the warp."""

from pathlib import Path

from PIL import Image

from sdaug.augmentor import GenerativeAugmentor
from sdaug.config import RunSettings
from sdaug.contact import contact_sheet
from sdaug.face.photo import read_photo
from sdaug.photos import photo_path

OUT = Path(__file__).parent.parent / "docs/images/poses.jpg"


def main() -> None:
    photo = read_photo(photo_path("astronaut"))
    record = GenerativeAugmentor(settings=RunSettings(backend="warp")).augment(photo, num_angles=10)
    sheet = Image.fromarray(contact_sheet(photo, record.angles))
    tile, tall = sheet.width // 11, sheet.height
    rows = Image.new("RGB", (tile * 6, tall * 2), "white")
    rows.paste(sheet.crop((0, 0, tile * 6, tall)), (0, 0))
    rows.paste(sheet.crop((tile * 6, 0, tile * 11, tall)), (tile, tall))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rows.save(OUT, quality=88)


if __name__ == "__main__":
    main()
