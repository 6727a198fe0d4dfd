"""The generators to evaluate, each of one checkpoint or export."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_research.checkpoints.io import MARK, open_checkpoint, read_checkpoint
from gan_research.sampling.averages import combination, require_ema
from gan_research.sampling.export import is_export, read_config
from gan_research.utils.errors import UserError
from gan_research.utils.paths import DATA_SETS
from gan_research.utils.renamed import renamed_metric
from gan_research.utils.run_folder import CHECKPOINTS, LAST, PREVIOUS, RUN, require_own, run_id

log = logging.getLogger(__name__)

BEST = "best_"  # the prefix of the best checkpoint's name


@dataclass(frozen=True)
class Generator:
    """A generator of one checkpoint or export."""

    path: Path
    state: dict[str, Any]  # the checkpoint's, or the export's, description of the training so far
    config: dict[str, Any] | None  # the run's config; None if gan train didn't write it
    raw: bool
    allow: Sequence[str]
    ema: float | None = None  # the profile of its average, if it isn't the first one of the run
    selected_by: str | None = None  # the column whose best value of the run selected it, if it is a best_COLUMN.ckpt

    @property
    def average(self) -> float | bool:
        """The average in the protocol: the profile of one of power functions, else whether it is one."""
        if self.raw or not self.state["ema"]:
            return False
        own = self.state["power"]["profiles"][0] if "power" in self.state else self.state.get("profile", True)
        return own if self.ema is None else self.ema


def is_generator(path: Path) -> bool:
    """Return whether a path is a checkpoint, a run or an export."""
    if path.is_dir():
        return is_export(path) or (path / CHECKPOINTS).is_dir() or (path / RUN).is_file()
    return path.suffix == ".ckpt" or (path.is_file() and path.suffix.lower() not in (".npz", *DATA_SETS))


def open_generators(path: Path, raw: bool, allow: Sequence[str], ema: float | None = None) -> list[Generator]:
    """Return the generators of a checkpoint, an export or a run, one for each round.

    ema: the profile of the average; a run's checkpoints from which it can't be reconstructed are left out.
    """
    require_ema(ema, raw)
    if is_export(path):
        config = read_config(path)
        run, selected_by = config.get("config"), config.get("selected_by")
        return [Generator(path, config | {"ema": config["averaged"]}, run, raw, allow, ema, selected_by)]
    found: dict[int, Generator] = {}
    refused: list[UserError] = []
    for file, content in _contents(path):  # best_*, last, round_*: a later one replaces the same round
        try:
            if ema is not None:
                combination(file, content, ema)
        except UserError as error:
            refused.append(error)
            continue
        round = content[MARK]["round"]
        selected_by = renamed_metric(file.stem.removeprefix(BEST)) if file.stem.startswith(BEST) else None
        if selected_by is None and round in found:
            selected_by = found[round].selected_by
        found[round] = Generator(file, content[MARK], content.get("config"), raw, allow, ema, selected_by)
    if refused and not found:
        raise refused[-1]
    for reason in refused:
        log.warning("left out: %s", reason)
    return [found[round] for round in sorted(found)]


def _contents(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield (path, content) of a checkpoint, or of a run's; of its last two the intact one."""
    files = set((path / CHECKPOINTS).glob("*.ckpt"))
    two = {path / CHECKPOINTS / name for name in (LAST, PREVIOUS)}
    last, content = open_checkpoint(path) if two & files or not files else (None, {})
    for file in sorted(files - two | ({last} if last else set())):
        found = content if file == last else read_checkpoint(file)
        require_own(file, found.get("run"), path, run_id(path))
        yield file, found
