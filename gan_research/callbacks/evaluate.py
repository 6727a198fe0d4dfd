"""Metrics of the samples during training."""

from typing import Any

import pytorch_lightning as pl

from gan_research.callbacks.base import Periodic, log_metrics
from gan_research.callbacks.blackboard import Blackboard
from gan_research.metrics import Evaluation, Evaluations
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError


class Evaluate(Periodic):
    """Evaluates the averaged generator every `every` rounds, and logs metrics/* with their protocol.

    Each of several evaluations has a row, and may have an interval, of its own. The row also has `better`, "min" or
    "max", and `ranges`, for the columns by which generators are ranked.
    """

    def __init__(self, evaluation: Evaluation | Evaluations, every: int, board: Blackboard | None = None):
        super().__init__(every)
        self.evaluation, self.board = evaluation, board or Blackboard()
        self.parts = list(evaluation.parts.values()) if isinstance(evaluation, Evaluations) else [evaluation]
        self.board.better = evaluation.columns

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not self.evaluation.is_prepared:
            if (data := trainer.datamodule) is None:  # type: ignore[attr-defined]
                raise UserError("the evaluation has no real samples: call its prepare(...), or give fit a datamodule")
            self.evaluation.prepare(data.train, trainer.strategy.root_device, heldout=data.heldout)

    def due(self, gan: GAN) -> bool:
        return any(self._is_due(part, gan) for part in self.parts)

    def _is_due(self, part: Evaluation, gan: GAN) -> bool:
        return gan.round % (part.every or self.every) == 0 or gan.round == gan.rounds

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        average = gan.ema.name if gan.ema else False
        for part in self.parts:
            if self._is_due(part, gan):
                sampler = part.adapt(gan.sampler())
                values = part(sampler.source(part.seed))
                self.board.add_metrics(values, gan.round)
                protocol = part.protocol(ema=average, **sampler.protocol)
                how = {"protocol": protocol.as_dict(), "better": part.columns, "ranges": part.ranges}
                share = sampler.acceptance()
                rate = {} if share is None else {"sampling/acceptance": share}
                log_metrics(trainer, gan, {f"metrics/{k}": v for k, v in values.items()} | rate | how)

    def state_dict(self) -> dict[str, Any]:
        board = self.board
        return {"rounds": board.measured, "latest": board.metrics, "first": board.first_metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        board, latest = self.board, state_dict["latest"]
        board.measured = state_dict.get("rounds", dict.fromkeys(latest, state_dict.get("round")))
        board.metrics, board.first_metrics = latest, state_dict["first"]
