"""LMDB as of LSUN: the content of image files by random keys, without labels."""

import os
from pathlib import Path
from typing import Any

from gan_research.data.formats.base import Indexed
from gan_research.utils.errors import UserError, import_extra

DATA = "data.mdb"

_opened: dict[str, tuple[int, Any]] = {}
"""Path -> process and environment: LMDB forbids to open one twice in a process, or to use one of before a fork."""


class LMDB(Indexed):
    """The images of a folder with `data.mdb`, in the order of its keys."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, [path / DATA])
        lmdb: Any = import_extra("lmdb", "lmdb", f"{path}, which is LMDB,")
        try:
            with environment(path).begin() as transaction:
                self.keys = [bytes(key) for key in transaction.cursor().iternext(keys=True, values=False)]
        except lmdb.Error as error:
            raise UserError(f"{path} can't be read as LMDB ({error}): download it again") from None
        if not self.keys:
            raise UserError(f"{path} has no entries: give an LMDB with images, as LSUN's")

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, index: int) -> str:
        return self.keys[index].decode(errors="replace")

    def stored(self, index: int) -> bytes:
        with environment(self.path).begin() as transaction:
            return transaction.get(self.keys[index])


def environment(path: Path) -> Any:
    """Return the environment of a folder that is open in this process."""
    import lmdb

    place = os.path.abspath(path)
    process, opened = _opened.get(place, (None, None))
    if process != os.getpid():
        if opened is not None:
            opened.close()  # of the parent process, in which it stays open
        opened = lmdb.open(place, readonly=True, lock=False, readahead=False, meminit=False)
        _opened[place] = os.getpid(), opened
    return opened
