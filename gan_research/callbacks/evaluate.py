"""Metrics of the samples during training."""

from typing import Any

import pytorch_lightning as pl

from gan_research.callbacks.base import Periodic, log_metrics
from gan_research.callbacks.blackboard import Blackboard
from gan_research.metrics import Evaluation
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError


class Evaluate(Periodic):
    """Evaluates the averaged generator every `every` rounds, and logs metrics/* with their protocol.

    The row also has `better`, "min" or "max", and `ranges`, for the columns by which generators are ranked.
    """

    def __init__(self, evaluation: Evaluation, every: int, board: Blackboard | None = None):
        super().__init__(every)
        self.evaluation, self.board = evaluation, board or Blackboard()
        self.board.better = evaluation.columns

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not self.evaluation.is_prepared:
            if (data := trainer.datamodule) is None:  # type: ignore[attr-defined]
                raise UserError("the evaluation has no real samples: call its prepare(...), or give fit a datamodule")
            self.evaluation.prepare(data.train, trainer.strategy.root_device, heldout=data.heldout)

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        sampler, board = gan.sampler(), self.board
        board.metrics, board.metrics_round = self.evaluation(sampler.source(self.evaluation.seed)), gan.round
        board.first_metrics = board.first_metrics or board.metrics
        protocol = self.evaluation.protocol(ema=gan.ema is not None, sampling=sampler.description).as_dict()
        how = {"protocol": protocol, "better": self.evaluation.columns, "ranges": self.evaluation.ranges}
        log_metrics(trainer, gan, {f"metrics/{k}": v for k, v in board.metrics.items()} | how)

    def state_dict(self) -> dict[str, Any]:
        board = self.board
        return {"round": board.metrics_round, "latest": board.metrics, "first": board.first_metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        board = self.board
        board.metrics_round, board.metrics = state_dict["round"], state_dict["latest"]
        board.first_metrics = state_dict["first"]
