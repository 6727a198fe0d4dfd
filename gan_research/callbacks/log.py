"""The log of losses, logits and speed over each interval."""

import resource
import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from gan_research.callbacks.base import log_metrics
from gan_research.callbacks.blackboard import Blackboard
from gan_research.data import Data, SampleSet
from gan_research.distributed import all_reduce_means
from gan_research.losses import AdversarialLoss
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError

PROBED = 256  # number of held-out reals, and of the training set, on which D is evaluated


class Log(pl.Callback):
    """Logs a row of means over each interval of `gan.loss_log.every` rounds.

    loss/*: each loss, and each regularizer's penalty before its weight. logits/*: D's logits on reals and fakes;
    probability/*: D(x) and D(G(z)), if logits are log-odds. game/value: V(D, G), minus D's loss. health/accuracy: of D
    on reals and fakes. speed/*: of the rounds alone; speed/seconds: since the run was started, over all its resumes.
    Of the interval's last round: gradient_norm/*, lr/*, samples/spread, and D's logits on held-out and on training
    reals (logits/heldout, logits/train: they differ if D overfits).
    """

    def __init__(self, board: Blackboard | None = None) -> None:
        self.board = board or Blackboard()
        self._probes: dict[str, tuple[Tensor, Tensor | None]] = {}
        self._start: float | None = None
        self._images = self._rounds = 0
        self._seconds = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GAN)
        for logger in trainer.loggers:
            if hasattr(logger, "cut"):
                logger.cut(pl_module.round)
        data = trainer.datamodule  # type: ignore[attr-defined]
        if getattr(data, "heldout", None) is not None:
            sets = {"heldout": data.heldout, "train": data.train}
            self._probes = {name: probe_of(data, samples, pl_module) for name, samples in sets.items()}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if self._start is None:
            self._start, self._images, self._rounds = time.perf_counter(), pl_module.images_seen, pl_module.round

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if pl_module.loss_log.due(pl_module.round):
            self.board.row, self.board.row_round = self._row(pl_module), pl_module.round
            log_metrics(trainer, pl_module, self.board.row)
            self._start = None  # the time of other callbacks isn't counted

    def _row(self, gan: GAN) -> dict[str, float]:
        values = gan.loss_log.flush()
        values |= {f"logits/{side}": gan.objective.forward.probe(*probe).cpu() for side, probe in self._probes.items()}
        row = {name: value.mean().item() for name, value in sorted(values.items())}
        row["game/value"] = -row["loss/discriminator"]
        if gan.loss.logits_are_log_odds:
            for name in [name for name in values if name.startswith("logits/")]:
                row[name.replace("logits", "probability")] = values[name].sigmoid().mean().item()
        row |= accuracy(gan.loss, values)
        row |= {f"lr/{player}": rate for player, rate in gan.player_optimizers.learning_rates().items()}
        row = all_reduce_means(row)
        for check in self.board.checks:
            row |= check(gan, row)
        return row | self._speed(gan) | {"memory/peak_gib": peak_memory(gan.device)}

    def _speed(self, gan: GAN) -> dict[str, float]:
        if self._start is None:
            return {}
        seconds = time.perf_counter() - self._start
        self._seconds += seconds
        return {
            "speed/seconds": self._seconds,
            "speed/images_per_second": (gan.images_seen - self._images) / seconds,
            "speed/rounds_per_second": (gan.round - self._rounds) / seconds,
        }

    def state_dict(self) -> dict[str, Any]:
        pending = time.perf_counter() - self._start if self._start is not None else 0.0
        return {"seconds": self._seconds + pending}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._seconds = state_dict["seconds"]


def accuracy(loss: AdversarialLoss, values: dict[str, Tensor]) -> dict[str, float]:
    """Return D's accuracy over the interval, for losses with a middle logit."""
    if (middle := middle_logit(loss)) is None:
        return {}
    correct = (values["logits/real"] > middle).float().mean() + (values["logits/fake"] < middle).float().mean()
    return {"health/accuracy": correct.item() / 2}


def middle_logit(loss: AdversarialLoss) -> float | None:
    """Return the logit of a sample that is as likely real as generated; None if there is none."""
    if loss.logits_are_log_odds:
        return 0.0
    try:
        theory = loss.theory()
    except UserError:
        return None
    return theory.logit_at_equality if theory.kind == "pointwise" else None


def probe_of(data: Data, samples: SampleSet, gan: GAN) -> tuple[Tensor, Tensor | None]:
    """Return the first samples of a set, in whole packs and groups; labels if G is class-conditional."""
    images, labels = next(iter(samples.batches(PROBED)))
    multiple = gan.discriminator.batch_multiple
    images = images[: len(images) // multiple * multiple]
    labels = labels[: len(images)].to(gan.device) if labels is not None and gan.generator.num_classes else None
    return data.to_float(images.to(gan.device)), labels


def peak_memory(device: torch.device) -> float:
    """Return the peak memory in GiB: of a GPU, or of the process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
