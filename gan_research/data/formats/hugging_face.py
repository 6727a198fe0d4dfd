"""Data sets of Hugging Face: saved by `save_to_disk`, or on the hub as hf://USER/NAME."""

from functools import cached_property
from pathlib import Path
from typing import Any

from gan_research.data.formats.base import Indexed, Label
from gan_research.data.image_files import Stored
from gan_research.utils.errors import UserError, import_extra, one_line
from gan_research.utils.hub import asking_hub
from gan_research.utils.hub import split as repository_of
from gan_research.utils.paths import is_on_hub

IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img", "images", "png", "jpg"), ("label", "labels", "fine_label", "cls")

SAVED = ("dataset_info.json", "dataset_dict.json")
"""The files of a folder that `save_to_disk` wrote: of one split, and of several."""


class HuggingFace(Indexed):
    """The images of a split, in its order."""

    def __init__(self, place: str | Path, split: str) -> None:
        rows = _rows(str(place), split)
        super().__init__(Path(place), [Path(file["filename"]) for file in rows.cache_files] or None)
        self.split = split
        self.image, self.label_column = _columns(rows, place)
        import datasets

        self.rows = rows.cast_column(self.image, datasets.Image(decode=False))
        self.images = self.rows.select_columns([self.image])  # a row of all columns would read them all

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        return f"{self.split}[{index}]"

    def stored(self, index: int) -> Stored:
        image = self.images[index][self.image]
        return image["path"] if image["bytes"] is None else image["bytes"]

    @cached_property
    def labels(self) -> list[Any]:
        return list(self.rows[self.label_column])

    def label(self, index: int) -> Label:
        return None if self.label_column is None else self.labels[index]

    def fingerprint(self) -> bytes:
        return super().fingerprint() + str(self.rows._fingerprint).encode()


def _rows(place: str, split: str) -> Any:
    """Return the rows of a split."""
    datasets: Any = import_extra("datasets", "huggingface", f"{place}, a data set of Hugging Face,")
    datasets.disable_progress_bars()
    if not is_on_hub(place):
        try:
            found = datasets.load_from_disk(place)
        except Exception as error:  # damaged files raise anything
            raise UserError(f"{place} can't be read ({one_line(error)}): save it again with save_to_disk") from None
        if not isinstance(found, datasets.DatasetDict):
            return found
        if split not in found:
            raise UserError(f"{place} has no split {split}: give one of {', '.join(found)}")
        return found[split]
    repository, revision = repository_of(place)
    if not (offline := datasets.config.HF_HUB_OFFLINE):
        try:
            with asking_hub(place) as hub:  # without the tries and waits of load_dataset
                hub.dataset_info(repository, revision=revision)
        except UserError as error:
            raise UserError(f"{error}; with HF_HUB_OFFLINE=1, what was downloaded before is read") from error
    try:
        return datasets.load_dataset(repository, split=split, revision=revision)
    except Exception as error:  # of the hub, the network, or the script of the set
        note = " (HF_HUB_OFFLINE is set)" if offline else ""
        raise UserError(
            f"{place} can't be read from the hub{note} ({one_line(error)[:300]}): check the name, the split {split} "
            "and the network, or give the folder of save_to_disk"
        ) from None


def _columns(rows: Any, place: str | Path) -> tuple[str, str | None]:
    """Return the columns of images, and of labels or None."""
    kinds = {name: type(feature).__name__ for name, feature in rows.features.items()}
    image = next((name for name in (*IMAGE_COLUMNS, *kinds) if kinds.get(name) == "Image"), None)
    if image is None:
        found = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise UserError(f"{place} has no column of images: cast one to datasets.Image (it has {found})")
    return image, next((name for name in LABEL_COLUMNS if name in kinds), None)
