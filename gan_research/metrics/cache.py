"""What was computed of real samples, kept for the next time."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gan_research.utils.files import write_atomically

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where statistics are kept: $GAN_RESEARCH_CACHE, else the user's own cache folder."""
    own = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GAN_RESEARCH_CACHE") or Path(own) / "gan_research")


PATIENCE = 300
"""Seconds; less than process groups wait for each other."""


class Cache:
    """Tensors by name, in files that are there whole or not at all.

    What can't be read counts as absent; what can't be written, on a full disk or in a folder of somebody else, is a
    warning: it costs time, no result.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> dict[str, Tensor] | None:
        """What was put there under this name, on the CPU."""
        try:
            return load(self._path(name).read_bytes())
        except (OSError, SafetensorError):
            return None

    def put(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Keep the tensors."""
        path = self._path(name)
        try:
            write_atomically(path, save({key: value.cpu().contiguous() for key, value in tensors.items()}))
        except OSError as error:
            log.warning("statistics of the real samples weren't kept in %s (%s)", path, error.strerror or error)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Inside, no other process on this machine holds this name's lock: what it computes is computed once."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, NotImplementedError):  # a folder that can't be written to, or locked in
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(self._acquired(FileLock(self.folder / f"{name}.lock")))
            yield

    def _acquired(self, lock: FileLock) -> AcquireReturnProxy:
        """The lock, waited for; after `PATIENCE` seconds this process rather computes the same once more."""
        try:
            return lock.acquire(timeout=1)
        except Timeout:
            log.warning("waiting for another process, which computes the same statistics of real samples")
            return lock.acquire(timeout=PATIENCE)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
