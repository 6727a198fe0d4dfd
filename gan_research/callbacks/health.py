"""Warnings of collapse, reports of stuck processes, and crash reports."""

import logging
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from gan_research.callbacks.base import Level, log_alert, log_metrics
from gan_research.callbacks.blackboard import Blackboard
from gan_research.callbacks.crash_report import write_crash
from gan_research.callbacks.watchdog import Watchdog, heartbeat
from gan_research.distributed import is_rank_zero
from gan_research.losses.base import PLAYERS
from gan_research.training.gan import GAN
from gan_research.training.loss_log import Diverged
from gan_research.utils.errors import UserError

LARGE = 1e6  # the mean of a loss from which training has exploded
SURE = 0.999  # the accuracy from which D is saturated: it recognizes all fakes
ALIKE = 0.01  # the spread of samples, relative to that of the reals, below which they hardly differ
ADVICE = {
    "no_lipschitz": "add regularizer=[gradient_penalty] or [weight_clipping], or spectral norm in D",
    "exploded": "lower the learning rates, or regularize D (regularizer=r1)",
    "d_saturated": "G may learn nothing from it: regularize D (regularizer=r1), or lower its learning rate",
    "alike": "G may have collapsed: regularize D (regularizer=r1), or resume an earlier checkpoint",
}

TITLES = {"exploded": "Training exploded", "d_saturated": "D is saturated", "alike": "Samples collapsed"}  # of alerts

log = logging.getLogger(__name__)


class Health(pl.Callback):
    """Warnings of explosion and collapse, and reports of a stuck process and of a crash.

    on_divergence: if a loss isn't finite, `gan train` stops ("stop"), or continues from the last checkpoint with other
        latents ("roll_back").
    roll_backs: the largest number of roll-backs of a run.
    stuck_after: seconds after which a process that ends no round, evaluation, grid or checkpoint reports its position,
        on standard error and in stuck/rank_N.txt; null: never.
    collapse_after: rounds of a saturated D after which there is a warning; null: no warnings of collapse.
    """

    def __init__(
        self,
        on_divergence: Literal["stop", "roll_back"] = "stop",
        roll_backs: NonNegativeInt = 3,
        stuck_after: PositiveFloat | None = 600.0,
        collapse_after: PositiveInt | None = 1000,
        board: Blackboard | None = None,
        folder: Path | None = None,
        rolled_back: bool = False,
    ):
        if on_divergence not in ("stop", "roll_back"):
            raise UserError(f"health.on_divergence={on_divergence}: give stop or roll_back")
        if roll_backs < 0:
            raise UserError(f"health.roll_backs={roll_backs}: give 0 or more")
        if stuck_after is not None and not stuck_after > 0:
            raise UserError(f"health.stuck_after={stuck_after}: give a number of seconds above 0, or null")
        if collapse_after is not None and collapse_after < 1:
            raise UserError(f"health.collapse_after={collapse_after}: give at least 1 round, or null")
        self.on_divergence, self.roll_backs = on_divergence, roll_backs
        self.stuck_after, self.collapse_after = stuck_after, collapse_after
        self.board, self.folder, self.rolled_back = board or Blackboard(), folder, rolled_back
        self.crash: Path | None = None  # the path of the crash report
        self._saturated_since: int | None = None
        self._alerts: list[tuple[str, str]] = []  # of the last row: (title, text)
        self._watchdog: Watchdog | None = None
        self.board.checks.append(self.health_check)

    def may_roll_back(self, gan: GAN) -> bool:
        """Return whether training that diverged resumes from its last checkpoint."""
        return self.on_divergence == "roll_back" and gan.roll_backs < self.roll_backs

    def failure_message(self, gan: GAN) -> str:
        """Return the end of the error line of training that diverged."""
        count = f"after {gan.roll_backs} roll-backs (health.roll_backs), " if gan.roll_backs else ""
        return count + (f"{self.crash} is the crash report, " if self.crash is not None else "")

    def health_check(self, gan: GAN, row: dict[str, float]) -> dict[str, float]:
        """Return the terms that are added to a row of the log: whether training exploded or looks collapsed."""
        warnings = self._warn(gan, self._warnings(gan, row))
        terms = {"health/explosion": float("exploded" in warnings)}
        if gan.loss.wants_lipschitz:
            terms["health/no_lipschitz"] = float("no_lipschitz" in warnings)
        if self.collapse_after is not None:
            terms["health/collapse"] = float(bool(warnings.keys() - {"exploded", "no_lipschitz"}))
        return terms

    def _warn(self, gan: GAN, warnings: dict[str, str]) -> dict[str, str]:
        """Log the warnings that are new, and return all."""
        for kind in [kind for kind in warnings if kind not in self.board.warnings]:
            text = f"round {gan.round}: {warnings[kind]}: {ADVICE[kind]}"
            if kind in TITLES:
                self._alerts.append((TITLES[kind], text))
            if is_rank_zero():
                log.warning("%s", text)
        self.board.warnings = warnings
        return warnings

    def _warnings(self, gan: GAN, row: dict[str, float]) -> dict[str, str]:
        found = unconstrained(gan)
        losses = {player: abs(row.get(f"loss/{player}", 0.0)) for player in PLAYERS}
        if losses[largest := max(losses, key=losses.__getitem__)] >= LARGE:
            found["exploded"] = f"training exploded: loss/{largest} is {row[f'loss/{largest}']:.2g}"
        if self.collapse_after is None:
            return found
        if row.get("health/accuracy", 0.0) < SURE:
            self._saturated_since = None
        elif self._saturated_since is None:
            self._saturated_since = gan.round - gan.loss_log.every
        if self._saturated_since is not None and (rounds := gan.round - self._saturated_since) >= self.collapse_after:
            found["d_saturated"] = f"D recognizes all fakes for {rounds:,} rounds"
        if (spread := row.get("samples/spread", 1.0)) < ALIKE:
            found["alike"] = f"samples hardly differ, {100 * spread:.2g} % of what reals do"
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"saturated_since": self._saturated_since, "warnings": dict(self.board.warnings)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        old = state_dict.get("told_since")  # its key in earlier versions
        self._saturated_since = state_dict.get("saturated_since", old)
        self.board.warnings = dict(state_dict["warnings"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GAN)
        if self.rolled_back:
            log_metrics(trainer, pl_module, {"health/roll_backs": float(pl_module.roll_backs)})
        self._warn(pl_module, self.board.warnings | unconstrained(pl_module))
        heartbeat("the start")
        if self.stuck_after is not None and self.folder is not None:
            self._watchdog = Watchdog(self.folder / "stuck", self.stuck_after)
            self._watchdog.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        while self._alerts:
            log_alert(trainer.loggers, *self._alerts.pop(0))
        heartbeat(f"round {pl_module.round + 1}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        heartbeat("the end of training")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop_watching()
        assert isinstance(pl_module, GAN)
        if isinstance(exception, Diverged):
            level: Level = "WARN" if self.may_roll_back(pl_module) else "ERROR"
            log_alert(trainer.loggers, "Training diverged", str(exception), level)
        if self.folder is not None and isinstance(exception, Exception):
            metrics = {"round": self.board.metrics_round, **self.board.last_metrics} if self.board.metrics else None
            latest = {"log": self.board.row, "metrics": metrics, "warnings": self.board.warnings}
            self.crash = write_crash(self.folder, trainer, pl_module, exception, **latest)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._stop_watching()

    def _stop_watching(self) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None


def unconstrained(gan: GAN) -> dict[str, str]:
    """Return the warning of a loss that wants a Lipschitz discriminator and has another."""
    if not gan.loss.wants_lipschitz or gan.objective.is_lipschitz:
        return {}
    return {"no_lipschitz": f"{type(gan.loss).__name__} is trained without a Lipschitz constraint on D"}
