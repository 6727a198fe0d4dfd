"""StyleGAN's ZIP: stored images below folders, and dataset.json with labels. Also of EDM, R3GAN and others."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from gan_research.data.formats.base import Indexed, Label, PerProcess
from gan_research.data.image_files import EXTENSIONS
from gan_research.data.labels import LABEL_FILE, labels_by_name
from gan_research.utils.errors import UserError
from gan_research.utils.files import partial_of
from gan_research.utils.reading import require_no_bomb


class StyleGANZip(Indexed):
    """The images of a ZIP, sorted by name, with the labels in its dataset.json."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.archive = PerProcess(partial(ZipFile, path))
        try:
            require_no_bomb(self.archive())
            entries = self.archive().namelist()
        except (BadZipFile, ValueError) as error:
            raise UserError(f"{path} can't be read as a ZIP ({error}): download or write it again") from None
        self.entries = sorted(name for name in entries if Path(name).suffix.lower() in EXTENSIONS)
        if not self.entries:
            raise UserError(
                f"{path} has no images ({self._other(entries)}): give a ZIP as StyleGAN's dataset_tool or gan data -o "
                "writes it, with images and dataset.json"
            )
        others = {name for name in entries if not name.endswith("/")} - {*self.entries, LABEL_FILE}
        if others:
            self.left_out["other entries"] = len(others)

    @staticmethod
    def _other(entries: list[str]) -> str:
        if any(name.endswith(".npy") for name in entries):
            return "its .npy entries are arrays, as EDM2's latents"
        return f"it has {len(entries)} other entries" if entries else "it is empty"

    def __len__(self) -> int:
        return len(self.entries)

    def name(self, index: int) -> str:
        return self.entries[index]

    def stored(self, index: int) -> bytes:
        return self.archive().read(self.entries[index])

    @cached_property
    def labels(self) -> dict[str, Label]:
        if LABEL_FILE not in self.archive().namelist():
            return {}
        return labels_by_name(self.archive().read(LABEL_FILE), self.path / LABEL_FILE)

    def label(self, index: int) -> Label:
        return self.labels.get(self.entries[index])


class ZipWriter:
    """Writes StyleGAN's ZIP: `add` images and their labels, then `finish`."""

    def __init__(self, archive: ZipFile) -> None:
        self.archive = archive
        self.labels: list[tuple[str, Label]] = []

    def add(self, png: bytes, label: Label) -> None:
        """Add an image as the content of a PNG file."""
        number = len(self.labels)
        name = f"{number // 1000:05}/img{number:08}.png"
        self.archive.writestr(ZipInfo(name), png)  # without the time: equal images give equal files
        self.labels.append((name, label))

    def finish(self) -> None:
        """Write dataset.json; its labels are null unless every image has one."""
        whole = self.labels if all(label is not None for _, label in self.labels) else None
        self.archive.writestr(ZipInfo(LABEL_FILE), json.dumps({"labels": whole}))


@contextmanager
def new_zip(path: Path) -> Iterator[ZipWriter]:
    """Yield a writer of a ZIP that is at `path` once it is whole; after an error there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = partial_of(path)
    try:
        with ZipFile(whole, "w", ZIP_STORED) as archive:
            yield (writer := ZipWriter(archive))
            writer.finish()
        os.replace(whole, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        whole.unlink(missing_ok=True)
