"""Sets of samples: images in any format, or data of the config tree."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from gan_research.cli.evaluation.generators import is_generator
from gan_research.cli.evaluation.sources import data_node, images_node
from gan_research.config.build import build_data
from gan_research.data.arrays import IMAGE_KEYS, read_samples
from gan_research.data.folder import read_folder
from gan_research.data.formats.detect import is_data_set
from gan_research.data.sets import SampleSet
from gan_research.metrics.statistics_files import StatisticsFile, read_statistics
from gan_research.utils.errors import UserError
from gan_research.utils.paths import is_existing_or_hub
from gan_research.utils.reading import reading, require_no_bomb

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Samples:
    """Samples or their statistics, with their name and split; `heldout` are samples that aren't trained on."""

    name: str
    samples: SampleSet | StatisticsFile
    split: str
    heldout: SampleSet | None = None
    classes: Sequence[Any] = ()  # the labels of the classes in the files, if they may be others than the numbers

    @property
    def count(self) -> int | None:
        """The number of samples; None if a file of statistics doesn't specify it."""
        samples = self.samples
        return samples.statistics["moments"].count if isinstance(samples, StatisticsFile) else len(samples)

    @property
    def protocol(self) -> dict[str, Any] | None:
        """The protocol in a file of statistics, if any."""
        return (self.samples.protocol or None) if isinstance(self.samples, StatisticsFile) else None


def open_samples(name: str, split: str | None, data_root: str | None, skip_corrupt: bool) -> Samples:
    """Open an existing folder or file, else data of the config tree."""
    path = Path(name).expanduser()
    if not path.exists():
        return open_data(data_node(name), split, data_root)
    if is_generator(path):
        raise UserError(f"{name} is a generator, not samples: draw some with gan sample {name} -n N -o FOLDER")
    for option, value in (("--split", split), ("--data-root", data_root)):
        if value is not None:
            raise UserError(f"{option} is for data of the config tree, such as cifar10, and {name} is a path")
    if is_data_set(path):
        return replace(open_data(images_node(path, skip_corrupt), None, None), name=name)
    if path.is_file():
        return Samples(name, _read_file(path), "file")
    images, skipped = read_folder(path, skip_corrupt)
    if skipped:
        log.warning("%d of %d images in %s can't be read: left out", skipped, skipped + len(images), name)
    return Samples(name, images, "folder")


def open_data(node: dict[str, Any], split: str | None, data_root: str | None) -> Samples:
    """Return the training samples, or the held-out ones, of the data of a config node."""
    key = "root" if "root" in node else "path"
    if data_root is not None:
        if key not in node:
            raise UserError("--data-root: these data have no folder: they are generated or installed")
        node = node | {key: data_root}
    elif key in node and not node.get("download") and not is_existing_or_hub(node[key]):
        raise UserError(f"there are no data in {node[key]}: if they were moved, add --data-root PATH")
    data = build_data({"data": node})
    samples = data.heldout if split == "heldout" else data.train
    if samples is None:
        raise UserError(f"--split heldout: {data.name} has no held-out samples")
    return Samples(data.name, samples, split or "train", data.heldout, data.classes)


def _read_file(path: Path) -> SampleSet | StatisticsFile:
    """Read the images in an .npz file, else its statistics."""
    with reading(path, problem="can't be read as an .npz file"):
        if is_zipfile(path):
            with ZipFile(path) as archive:
                require_no_bomb(archive)
                keys = {Path(name).stem for name in archive.namelist()}
            if keys & {*IMAGE_KEYS} and "mu" not in keys:
                return read_samples(path)
        return read_statistics(path)
