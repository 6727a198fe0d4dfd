"""A cache of the statistics of real samples, on disk."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors.torch import load, save
from torch import Tensor

from gan_research.utils.files import write_atomically

log = logging.getLogger(__name__)

PATIENCE = 300  # seconds to wait for a lock; less than the timeout of process groups


class Cache:
    """A cache of tensors by name, in files that are written atomically.

    A file that can't be read counts as absent. One that can't be written, because the disk is full or the folder
    is read-only, is a warning: it costs time, but no result.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> dict[str, Tensor] | None:
        """Return the tensors of this name, on the CPU; None if there are none."""
        try:
            return load(self._path(name).read_bytes())
        except Exception:  # missing, damaged, or too large
            return None

    def put(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Write the tensors of this name."""
        path = self._path(name)
        try:
            write_atomically(path, save({key: value.cpu().contiguous() for key, value in tensors.items()}))
        except OSError as error:
            log.warning("statistics of the real samples weren't kept in %s (%s)", path, error.strerror or error)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock of this name, so that no two processes compute the same."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, NotImplementedError):  # the folder isn't writable, or has no locks
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = FileLock(self.folder / f"{name}.lock")
                try:
                    stack.enter_context(lock.acquire(timeout=1))
                except Timeout:
                    log.warning("waiting for another process, which computes the same statistics of real samples")
                    stack.enter_context(lock.acquire(timeout=PATIENCE))  # its Timeout is an OSError
            yield

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
