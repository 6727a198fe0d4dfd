"""Generators to measure, each at one point of its training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gan_research.checkpoints import MARK, find_checkpoint, load, read_checkpoint
from gan_research.metrics.evaluation import Source

BEST = "best_"
"""How the name of a run's best checkpoint begins."""


@dataclass(frozen=True)
class Generator:
    """A generator at one point of its training."""

    path: Path
    game: dict[str, Any]
    """What the checkpoint says of the game."""
    config: dict[str, Any] | None
    """What the run was made of; None: it wasn't written by gan train."""
    raw: bool
    trust: Sequence[str]
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

    def drawing(self, device: torch.device | str) -> Callable[[int], Source]:
        """Sampling seed -> the samples, drawn on `device`."""
        sampler = load(self.path, self.raw, self.trust)
        sampler.generator.to(device)
        return sampler.drawing


def is_generator(path: Path) -> bool:
    """Whether a path is a checkpoint's, or the folder of a run."""
    if path.is_dir():
        return (path / "checkpoints").is_dir() or (path / "run.json").is_file()
    return path.suffix == ".ckpt" or (path.is_file() and path.suffix != ".npz")


def open_generators(path: Path, raw: bool, trust: Sequence[str]) -> list[Generator]:
    """That of a checkpoint; or those of a run, one of each round, in order."""
    paths = sorted((path / "checkpoints").glob("*.ckpt")) or [find_checkpoint(path)]
    found: dict[int, Generator] = {}
    for file in paths:  # best_*, last, round_*: of one round the latter
        content = read_checkpoint(file)
        round = content[MARK]["round"]
        selected_by = file.stem.removeprefix(BEST) if file.stem.startswith(BEST) else None
        if selected_by is None and round in found:
            selected_by = found[round].selected_by
        found[round] = Generator(file, content[MARK], content.get("config"), raw, trust, selected_by)
    return [found[round] for round in sorted(found)]
