"""Deletion of runs and of old checkpoints that a user has chosen."""

import platform
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from filelock import FileLock, Timeout

from gan_research.report.listing import Entry, size_of
from gan_research.utils.errors import UserError
from gan_research.utils.reading import read_json
from gan_research.utils.run_folder import (
    CHECKPOINTS,
    CONFIG,
    CRASHES,
    LAST,
    LOCK,
    OWN_FILES,
    PLAYER,
    PREVIOUS,
    TRIAL,
    Player,
    run_id,
)


@dataclass(frozen=True)
class Target:
    """A run's folder to delete, or old checkpoints in it; `size` is what that frees, in bytes."""

    run: Path
    files: list[Path] | None
    size: int

    def delete(self) -> bool:
        """Delete it, while no process trains the run; return False if one does.

        Links in the folder are removed, and the files that they point to are kept.
        """
        try:
            with FileLock(self.run / LOCK).acquire(blocking=False):
                if self.files is None:
                    shutil.rmtree(self.run)
                for path in self.files or []:
                    path.unlink(missing_ok=True)
        except Timeout:
            return False
        return True


def targets(entries: list[Entry], states: set[str], empty: bool, checkpoints: bool) -> Iterator[Target | str]:
    """Yield what to delete, and notes on runs that are kept though they were chosen.

    states: delete runs that are finished, failed or stopped. empty: delete unfinished runs without a checkpoint.
    checkpoints: delete the old checkpoints of finished runs that are kept.
    """
    for entry in entries:
        is_empty = entry.state in ("failed", "stopped") and not any((entry.folder / CHECKPOINTS).glob("*.ckpt"))
        whole = entry.state in states or (empty and is_empty)
        old = old_checkpoints(entry.folder) if checkpoints and entry.state == "finished" and not whole else []
        if entry.state == "running" or not (whole or old):
            continue
        if (reason := reason_to_keep(entry.folder, whole)) is not None:
            yield f"{entry.folder} is kept: {reason}"
        elif whole:
            yield Target(entry.folder, None, entry.size)
        else:
            yield Target(entry.folder, old, freed(old))


def old_checkpoints(run: Path) -> list[Path]:
    """Return a run's checkpoints other than the last and the best; none if it has no last one."""
    folder = run / CHECKPOINTS
    if not (folder / LAST).is_file():
        return []
    found = [folder / PREVIOUS, *folder.glob("round_*.ckpt"), *(run / CRASHES).glob("*.ckpt")]
    return sorted(path for path in found if path.is_file() and not path.parent.is_symlink())


def freed(paths: list[Path]) -> int:
    """Return the bytes of files that have no other names than these."""
    names: dict[tuple[int, int], list[Path]] = {}
    for path in paths:
        names.setdefault((path.lstat().st_dev, path.lstat().st_ino), []).append(path)
    return size_of(own[0] for own in names.values() if own[0].lstat().st_nlink == len(own))


def reason_to_keep(run: Path, whole: bool) -> str | None:
    """Return why a folder isn't deleted although it was chosen; None if nothing speaks against it."""
    if whole and any((folder / TRIAL).is_file() for folder in run.parents[:2]):
        return "it belongs to a sweep, which needs it: delete the folder of the sweep"
    if run.is_symlink() or run_id(run) is None or not (run / CONFIG).is_file():
        return "it isn't the folder of a run that gan train made"
    with suppress(UserError):
        if (host := read_json(run / PLAYER, Player)["host"]) != platform.node():
            return f"it was trained on {host}, and perhaps still is: delete it there, or delete its {PLAYER} first"
    others = [path.name for path in run.iterdir() if not any(fnmatch(path.name, name) for name in OWN_FILES)]
    if whole and others:
        return f"it contains {', '.join(sorted(others)[:3])}, which gan train didn't write: move that first"
    return None
