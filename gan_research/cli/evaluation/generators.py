"""Generators to measure, each at one point of its training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gan_research.checkpoints.io import MARK, open_checkpoint, read_checkpoint
from gan_research.sampling.export import is_export, read_config
from gan_research.sampling.load import load
from gan_research.sampling.sampler import Sampler
from gan_research.utils.run_folder import CHECKPOINTS, LAST, PREVIOUS, RUN

BEST = "best_"
"""How the name of a run's best checkpoint begins."""


@dataclass(frozen=True)
class Generator:
    """A generator at one point of its training."""

    path: Path
    game: dict[str, Any]
    """What the checkpoint, or the export, says of the game."""
    config: dict[str, Any] | None
    """What the run was made of; None: it wasn't written by gan train."""
    raw: bool
    allow: Sequence[str]
    selected_by: str | None = None
    """The column by whose best value of the run it was chosen: of best_COLUMN.ckpt, whatever else it is kept as."""

    @property
    def round(self) -> int:
        """How many rounds had been played."""
        return int(self.game["round"])

    @property
    def kimg(self) -> float:
        """How many thousand real pictures the discriminator had seen."""
        return float(self.game["images_seen"]) / 1000

    @property
    def training_seed(self) -> int | None:
        """The seed of the training."""
        return None if self.config is None else self.config.get("seed")

    @property
    def ema(self) -> bool:
        """Whether it is the averaged generator that is measured."""
        return bool(self.game["ema"]) and not self.raw

    def sampler(self, device: torch.device | str) -> Sampler:
        """Return the sampler, which draws on `device`."""
        sampler = load(self.path, self.raw, self.allow)
        sampler.generator.to(device)
        return sampler


def is_generator(path: Path) -> bool:
    """Whether a path is a checkpoint's, or the folder of a run or of an export."""
    if path.is_dir():
        return is_export(path) or (path / CHECKPOINTS).is_dir() or (path / RUN).is_file()
    return path.suffix == ".ckpt" or (path.is_file() and path.suffix != ".npz")


def open_generators(path: Path, raw: bool, allow: Sequence[str]) -> list[Generator]:
    """That of a checkpoint or of an export; or those of a run, one of each round, in order."""
    if is_export(path):
        config = read_config(path)
        return [Generator(path, config | {"ema": config["averaged"]}, None, raw, allow)]
    found: dict[int, Generator] = {}
    for file, content in _contents(path):  # best_*, the last one, round_*: of one round the latter
        round = content[MARK]["round"]
        selected_by = file.stem.removeprefix(BEST) if file.stem.startswith(BEST) else None
        if selected_by is None and round in found:
            selected_by = found[round].selected_by
        found[round] = Generator(file, content[MARK], content.get("config"), raw, allow, selected_by)
    return [found[round] for round in sorted(found)]


def _contents(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A checkpoint; or those of a run by their names, of its last two the one that `open_checkpoint` takes."""
    files = set((path / CHECKPOINTS).glob("*.ckpt"))
    two = {path / CHECKPOINTS / name for name in (LAST, PREVIOUS)}
    last, content = open_checkpoint(path) if two & files or not files else (None, {})
    for file in sorted(files - two | ({last} if last else set())):
        yield file, content if file == last else read_checkpoint(file)
