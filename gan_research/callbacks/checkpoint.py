"""Checkpoints of a run: the last one, periodic ones, and the best one by a metric."""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from gan_research.callbacks.base import Periodic
from gan_research.callbacks.blackboard import Blackboard
from gan_research.checkpoints.io import AtomicCheckpointIO
from gan_research.distributed import raise_on_all_ranks
from gan_research.distributed.sharding import local
from gan_research.training.gan import GAN
from gan_research.training.loss_log import Diverged
from gan_research.utils.files import link
from gan_research.utils.renamed import renamed_metric
from gan_research.utils.run_folder import LAST, PREVIOUS, of_round


class Checkpoints(Periodic):
    """Writes last.ckpt every `every` rounds, and when the run is stopped; the one before is previous.ckpt.

    config, run: of the run, and its identity, saved in each checkpoint.
    keep_every: rounds between two checkpoints that are kept as round_N.ckpt (a multiple of `every`).
    best: the metric whose best value selects best_METRIC.ckpt.
    """

    folder: Path

    def __init__(
        self,
        folder: Path,
        every: int,
        config: dict[str, Any] | None = None,
        keep_every: int | None = None,
        best: str | None = "fid",
        board: Blackboard | None = None,
        run: str | None = None,
    ):
        super().__init__(every)
        self.board, self.folder, self.config, self.run = board or Blackboard(), folder, config or {}, run
        self.keep_every, self.best = keep_every, best
        self.best_value: float | None = None
        self.best_round: int | None = None

    @property
    def last(self) -> Path:
        return self.folder / LAST

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO):
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        if pl_module.resumed and trainer.is_global_zero:
            self._begin_with(Path(str(trainer.ckpt_path)))
            self._keep(pl_module)

    def due(self, gan: GAN) -> bool:
        return self.board.stopping or super().due(gan) or self._best_so_far(gan) is not None

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        with raise_on_all_ranks():
            refuse_diverged(gan)
        if (best := self._best_so_far(gan)) is not None:
            self.best_value, self.best_round = best, gan.round
        trainer.save_checkpoint(self.last, storage_options=self.folder / PREVIOUS)
        if trainer.is_global_zero:
            self._keep(gan)
            for logger in trainer.loggers:
                if hasattr(logger, "log_checkpoints"):
                    logger.log_checkpoints(self._aliases(gan), gan.sampler())

    def _begin_with(self, checkpoint: Path) -> None:
        """Copy the resumed checkpoint over the last two, if it isn't the last."""
        if not self.last.is_file() or not self.last.samefile(checkpoint):
            for target in (self.last, self.folder / PREVIOUS):
                if not target.is_file() or not target.samefile(checkpoint):
                    link(checkpoint, target, copy=True)
        for best in self.folder.glob("best_*.ckpt"):  # an earlier version may have had another name for the metric
            best.rename(self.folder / f"best_{renamed_metric(best.stem.removeprefix('best_'))}.ckpt")

    def _keep(self, gan: GAN) -> None:
        """Link the last checkpoint to its other names, if any."""
        if self.best is not None and self.best_round == gan.round:
            link(self.last, self.folder / f"best_{self.best}.ckpt")
        if self.keep_every is not None and gan.round % self.keep_every == 0:
            link(self.last, self.folder / of_round(gan.round, ".ckpt"))

    def _aliases(self, gan: GAN) -> dict[str, Path]:
        """Return the best checkpoint so far, if any, and the last one, by alias."""
        best = self.last if self.best_round == gan.round else self.folder / f"best_{self.best}.ckpt"
        return {**({"best": best} if best.is_file() else {}), "last": self.last}

    def _best_so_far(self, gan: GAN) -> float | None:
        """Return this round's value of the metric if it is the best so far."""
        if self.best is None or self.board.measured.get(self.best) != gan.round:
            return None
        value = self.board.metrics[self.best]
        sign = 1 if self.board.better[self.best] == "min" else -1
        if not math.isfinite(value) or (self.best_value is not None and sign * value >= sign * self.best_value):
            return None
        return value

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"config": self.config} | ({} if self.run is None else {"run": self.run})

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_value": self.best_value, "best_round": self.best_round}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if renamed_metric(state_dict["best"]) == self.best:  # else by another metric
            self.best_value, self.best_round = state_dict["best_value"], state_dict["best_round"]


def refuse_diverged(gan: GAN) -> None:
    """Raise `Diverged` if the last round's losses, or the weights, aren't finite."""
    gan.loss_log.check(gan.round)
    for player, network in gan.objective.networks.items():
        if not torch.stack([local(p).isfinite().all() for p in network.parameters()]).all():
            raise Diverged(f"round {gan.round}: the {player}'s weights aren't finite, training stopped", gan.round)
