"""What an evaluation during training takes."""

import time
from typing import Any, NamedTuple

import pytorch_lightning as pl

from gan_research.config.build import make
from gan_research.metrics import Evaluation
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError

FEWEST = 16
"""Samples of the first trial."""


class EvaluationTime(NamedTuple):
    """Seconds of one evaluation, and of the real samples' statistics, which are computed once; of how many samples."""

    seconds: float
    reference_seconds: float
    samples: int
    """As many were evaluated; where the run evaluates more, the time was scaled up."""


class Trial(NamedTuple):
    """An evaluation of some samples against as many real ones."""

    samples: int
    seconds: float
    reference_seconds: float


def extractor_of(node: dict[str, Any] | None, notes: list[str]) -> Any:
    """The extractor of the metrics, or None and a note; a UserError where the rest of the metrics can't be."""
    if not node:
        return None
    try:
        extractor = make(node["extractor"])
    except UserError as error:
        notes.append(f"evaluation not measured: {error}")
        return None
    evaluation_of(node, extractor)
    return extractor


def evaluation_of(node: dict[str, Any], extractor: Any, **less: int) -> Evaluation:
    """The evaluation of a config, that keeps nothing in the cache and reads nothing from it."""
    rest = {key: value for key, value in node.items() if key != "extractor"}
    return make(rest | {"cache": False} | less, extractor=extractor)


def time_evaluation(
    node: dict[str, Any], extractor: Any, trainer: pl.Trainer, gan: GAN, limit: float
) -> EvaluationTime:
    """By trials of more and more samples, until all of it fits into `limit` seconds, or a trial of more doesn't."""
    whole = evaluation_of(node, extractor)
    real = len(trainer.datamodule.train) if whole.num_real is None else whole.num_real  # type: ignore[attr-defined]
    trials: list[Trial] = []
    samples = min(FEWEST, whole.num_samples)
    while True:
        try:
            less = {
                "num_samples": samples,
                "num_real": min(samples, real),
                "batch_size": min(samples, whole.batch_size),
            }
            trials.append(trial(evaluation_of(node, extractor, **less), trainer, gan))
        except UserError:  # some metrics take no fewer than so many
            if samples == whole.num_samples:
                raise
        else:
            each, once = scaled(trials, whole.num_samples, "seconds"), scaled(trials, real, "reference_seconds")
            if each + once <= limit:
                done = trial(whole, trainer, gan)
                return EvaluationTime(done.seconds, done.reference_seconds, whole.num_samples)
            if samples == whole.num_samples or 4 * sum(trials[-1][1:]) > limit:
                return EvaluationTime(each, once, samples)
        samples = min(4 * samples, whole.num_samples)


def trial(evaluation: Evaluation, trainer: pl.Trainer, gan: GAN) -> Trial:
    """One evaluation, timed."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    start = time.perf_counter()
    evaluation.prepare(data.train, trainer.strategy.root_device, heldout=data.heldout)
    ready = time.perf_counter()
    evaluation(gan.sampler().source(evaluation.seed))
    return Trial(evaluation.num_samples, time.perf_counter() - ready, ready - start)


def scaled(trials: list[Trial], samples: int, what: str) -> float:
    """The seconds of `samples`, on the line through the last two trials; in proportion where there is one."""
    last = trials[-1]
    if len(trials) == 1:
        return getattr(last, what) * samples / last.samples
    slope = (getattr(last, what) - getattr(trials[-2], what)) / (last.samples - trials[-2].samples)
    return getattr(last, what) + max(0.0, slope) * (samples - last.samples)
