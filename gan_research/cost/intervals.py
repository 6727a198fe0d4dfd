"""Time of what a run does at intervals: evaluations and analyses."""

from functools import partial
from statistics import median
from timeit import repeat
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl

from gan_research.callbacks import Periodic
from gan_research.config.build import make
from gan_research.cost.rounds import NEVER, now
from gan_research.metrics import Evaluation
from gan_research.theory.analysis import Analysis
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError


def how_often(every: int, rounds: int) -> int:
    """Return how often a callback acts: before the first round, every `every` rounds, after the last one."""
    return 1 - (-rounds // every)


def seconds_to_act(callback: Periodic, trainer: pl.Trainer, gan: GAN, times: int = 3) -> float:
    """Return the median seconds in which a callback acts."""
    act, clock = partial(callback.act_together, trainer, gan), partial(now, gan.device)
    return median(repeat(act, timer=clock, number=1, repeat=times))


def evaluation_of(node: dict[str, Any], extractor: Any, **sizes: int) -> Evaluation:
    """Return the evaluation of a config, without a cache."""
    rest = {key: value for key, value in node.items() if key != "extractor"}
    return make(rest | {"cache": False} | sizes, extractor=extractor)


def time_evaluation(
    node: dict[str, Any], extractor: Any, trainer: pl.Trainer, gan: GAN, limit: float
) -> dict[str, Any]:
    """Return the seconds of an evaluation, scaled up from samples that `limit` seconds allow."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    whole, generated, reference = evaluation_of(node, extractor), list[tuple[int, float]](), list[tuple[int, float]]()
    total, reals = whole.num_samples, whole.num_real or len(data.train)
    for samples in [*(4**k for k in range(2, 16) if 4**k < total), total]:
        real = reals if samples == total else min(samples, reals)
        if generated and on_line(generated, samples) + on_line(reference, real) > limit:
            break
        sizes = {"num_samples": samples, "num_real": real, "batch_size": min(samples, whole.batch_size)}
        try:
            evaluation, start = evaluation_of(node, extractor, **sizes), now(gan.device)
            evaluation.prepare(data.train, gan.device, heldout=data.heldout)
            ready = now(gan.device)
            evaluation(evaluation.adapt(gan.sampler()).source(evaluation.seed))
        except UserError:  # some metrics need more samples
            if samples == total:
                raise
            continue
        generated.append((samples, now(gan.device) - ready))
        reference.append((real, ready - start))
    seconds = {"seconds_each": on_line(generated, total), "reference_seconds": on_line(reference, reals)}
    return seconds | {"samples": total, "samples_measured": generated[-1][0]}


def on_line(points: list[tuple[int, float]], samples: int) -> float:
    """Return the seconds of `samples`: on the line through the last two points, or in proportion to one."""
    last, seconds = points[-1]
    if len(points) == 1:
        return seconds * samples / last
    slope = (seconds - points[-2][1]) / max(1, last - points[-2][0])
    return seconds + max(0.0, slope) * (samples - last)


def time_analysis(analysis: Analysis[Any], trainer: pl.Trainer, gan: GAN, rounds: int) -> float:
    """Return the seconds of an analysis in a whole run, with its figure and film."""
    gan.rounds = rounds
    analysis.setup(trainer, gan, "fit")
    moments: Any = (SimpleNamespace(round=round, rounds=rounds) for round in range(rounds + 1))
    count = sum(map(analysis.due, moments))
    gan.rounds = NEVER
    frame = seconds_to_act(analysis, trainer, gan)
    analysis.frames = (analysis.frames * count)[: count - 1]
    gan.rounds = gan.round  # in the last round it publishes
    return (count - 1) * frame + seconds_to_act(analysis, trainer, gan, times=1)
