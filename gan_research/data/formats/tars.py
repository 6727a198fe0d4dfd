"""WebDataset: uncompressed tars with `KEY.jpg` and `KEY.cls` or `KEY.json`, in which any image can be read."""

import json
import os
import tarfile
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_research.data.formats.base import Indexed, Label, stamp
from gan_research.data.image_files import EXTENSIONS
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.files import file_name, write_atomically
from gan_research.utils.paths import cache_folder

LABELS = (".cls", ".json")
LABEL_FIELDS = ("label", "cls", "class")  # in KEY.json

PACKED = (b"\x1f\x8b", b"BZ", b"\xfd7", b"(\xb5")  # how files of gzip, bzip2, xz and zstd begin


class Member(NamedTuple):
    """A file in a tar: the number of the tar, and the place of its content in bytes."""

    tar: int
    start: int
    size: int


class WebDataset(Indexed):
    """The images of tars, in their order. An index of their places is made once, and kept in the cache folder."""

    def __init__(self, path: Path, tars: list[Path]) -> None:
        super().__init__(path, tars)
        images: dict[str, tuple[str, Member]] = {}
        self.label_files: dict[str, tuple[str, Member]] = {}
        for number, tar in enumerate(tars):
            for name, start, size in index_of(tar):
                folder, _, base = name.rpartition("/")
                key, _, ending = base.partition(".")
                found = f"{number}/{folder}/{key}"
                if f".{ending}".lower() in EXTENSIONS:
                    if found in images:
                        raise UserError(f"{tar} has two images of the key {key} ({name}): write one image a sample")
                    images[found] = f"{tar.name}/{name}", Member(number, start, size)
                elif f".{ending}" in LABELS:
                    self.label_files.setdefault(found, (ending, Member(number, start, size)))
                else:
                    self.left_out[f".{ending}"] += 1
        if not images:
            raise UserError(f"{path} has no images: give tars with KEY.jpg, and KEY.cls for labels, as WebDataset's")
        self.keys = list(images)
        self.paths = [name for name, _ in images.values()]
        self.members = [member for _, member in images.values()]

    def __len__(self) -> int:
        return len(self.members)

    def name(self, index: int) -> str:
        return self.paths[index]

    def file(self, index: int) -> Path:
        return self.files[self.members[index].tar]

    def _content(self, member: Member) -> bytes:
        with self.files[member.tar].open("rb", buffering=0) as file:  # thousands can't all be open
            return os.pread(file.fileno(), member.size, member.start)

    def stored(self, index: int) -> bytes:
        return self._content(self.members[index])

    @cached_property
    def labels(self) -> list[Label]:
        return [self._label(key) for key in self.keys]

    def _label(self, key: str) -> Label:
        if key not in self.label_files:
            return None
        ending, member = self.label_files[key]
        text = self._content(member).decode(errors="replace").strip()
        if ending == "cls":
            return int(text) if text.isdecimal() else text
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise UserError(f"{self.files[member.tar]} has a damaged {key.split('/', 1)[1]}.json ({error})") from None
        found = [fields[name] for name in LABEL_FIELDS if name in fields] if isinstance(fields, dict) else []
        return found[0] if found and isinstance(found[0], int | str | list) else None

    def label(self, index: int) -> Label:
        return self.labels[index]


def index_of(tar: Path) -> list[tuple[str, int, int]]:
    """Return name, start and size in bytes of each file in a tar.

    They are kept in the cache folder until the tar changes. Raises a UserError if it is compressed, or no tar.
    """
    place = str(tar.resolve())
    kept = cache_folder() / "tars" / f"{file_name(place)[-150:]}.npz"
    key = np.array([place, *map(str, stamp(tar) or ())])
    with suppress(Exception), np.load(kept, allow_pickle=False) as index:  # there is none, or it is damaged
        if np.array_equal(index["key"], key):
            return list(zip(*(index[name].tolist() for name in ("names", "starts", "sizes")), strict=True))
    try:
        with tarfile.open(tar, "r:") as archive:
            found = [(one.name.removeprefix("./"), one.offset_data, one.size) for one in archive if one.isreg()]
    except tarfile.ReadError as error:
        with tar.open("rb") as file:
            packed = file.read(2) in PACKED
        advice = "unpack it with gunzip, bunzip2, unxz or zstd -d" if packed else "write it again as WebDataset does"
        raise UserError(
            f"{tar} {'is compressed' if packed else f'is no tar ({one_line(error)})'}, and images are read at any "
            f"place in it: {advice}"
        ) from None
    names, starts, sizes = zip(*found, strict=True) if found else ((), (), ())
    content = BytesIO()
    np.savez(content, key=key, names=np.array(names, str), starts=np.array(starts), sizes=np.array(sizes))
    with suppress(OSError):  # else it is made again at the next start
        write_atomically(kept, content.getbuffer())
    return found
