"""The numbers of one generator, or of one set of samples, by one protocol."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gan_research.cli.evaluation.generators import Generator
from gan_research.cli.evaluation.progress import ProgressBar
from gan_research.cli.evaluation.samples import Samples
from gan_research.metrics import Evaluation, Protocol
from gan_research.metrics.base import METRICS, Direction
from gan_research.metrics.evaluation import Source
from gan_research.metrics.oracle import Check
from gan_research.metrics.statistics_files import StatisticsFile

PERFECT = "_perfect"
"""How the column ends that says what perfect samples would score."""


@dataclass(frozen=True)
class Measurement:
    """What came out, once for each sampling seed; `checkpoint` and what follows are None for samples that lie there."""

    each: list[dict[str, float]]
    protocol: Protocol
    better: dict[str, Direction]
    checkpoint: str | None = None
    round: int | None = None
    kimg: float | None = None
    training_seed: int | None = None
    selected_by: str | None = None
    """The column by whose best value the checkpoint was chosen out of its run."""
    checks: dict[str, Check] | None = None
    """By torch-fidelity, for the first sampling seed."""

    @property
    def mean(self) -> dict[str, float]:
        """Return the mean of each column over the sampling seeds; of several, without columns that name a class."""
        return {name: statistics.fmean(numbers[name] for numbers in self.each) for name in self._averaged}

    @property
    def std(self) -> dict[str, float]:
        """Of each column, over the sampling seeds (n - 1); nothing where there is one."""
        if len(self.each) < 2:
            return {}
        return {name: statistics.stdev(numbers[name] for numbers in self.each) for name in self._averaged}

    @property
    def _averaged(self) -> list[str]:
        named = {label for metric in METRICS.values() for label in metric.labels} if len(self.each) > 1 else set()
        return [name for name in self.each[0] if name not in named]

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain values."""
        sampling = {"seeds": list(self.protocol.sampling_seeds)} | ({"std": self.std} if self.std else {})
        plain = {
            "checkpoint": self.checkpoint,
            "round": self.round,
            "kimg": self.kimg,
            "training_seed": self.training_seed,
            "selected_by": self.selected_by,
            "metrics": self.mean,
            "sampling": sampling | {"each": self.each},
            "protocol": self.protocol.as_dict(),
        }
        checks = {name: check._asdict() for name, check in (self.checks or {}).items()}
        return plain | ({"torch_fidelity": checks} if checks else {})


def of_generator(
    generator: Generator,
    seeds: Sequence[int],
    device: str,
    evaluation: Evaluation,
    bar: ProgressBar,
) -> tuple[Measurement, Source]:
    """Of a generator, by these sampling seeds (none: the evaluation's own); and its samples by the first of them."""
    sampler = generator.sampler(device)
    seeds = seeds or [evaluation.seed]
    each = [evaluation(sampler.source(seed), bar.of(f"round {generator.round:,}, seed {seed}")) for seed in seeds]
    measurement = Measurement(
        each,
        evaluation.protocol(ema=generator.ema, sampling_seeds=seeds, sampling=sampler.description),
        evaluation.columns,
        str(generator.path),
        generator.round,
        generator.kimg,
        generator.training_seed,
        generator.selected_by,
    )
    return measurement, sampler.source(seeds[0])


def of_samples(samples: Samples, evaluation: Evaluation, bar: ProgressBar) -> tuple[Measurement, Source]:
    """Of samples that lie there; and the samples."""
    numbers = evaluation(samples.samples, bar.of(samples.name))
    protocol = evaluation.protocol(ema=None, batch_statistics=None, sampling_seeds=(), sampling=None)
    if isinstance(samples.samples, StatisticsFile):
        protocol = replace(protocol, num_fake=samples.count)
    return Measurement([numbers], protocol, evaluation.columns), samples.samples
