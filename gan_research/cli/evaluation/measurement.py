"""The numbers of one generator, or of one set of samples, by one protocol."""

import math
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
from gan_research.sampling.load import load

PERFECT = "_perfect"  # the suffix of the column of the value that perfect samples would have


@dataclass(frozen=True)
class Measurement:
    """The numbers for each sampling seed; `checkpoint` and the fields after it are None for a fixed set of samples."""

    each: list[dict[str, float]]
    protocol: Protocol
    better: dict[str, Direction]
    checkpoint: str | None = None
    round: int | None = None
    kimg: float | None = None
    training_seed: int | None = None
    selected_by: str | None = None  # the column whose best value selected the checkpoint
    acceptance: float | None = None  # the share of the candidates of a selection that were accepted
    checks: dict[str, Check] | None = None  # torch-fidelity's numbers for the first sampling seed

    @property
    def truncation(self) -> float:
        """The threshold of latents, infinite without truncation."""
        return self.protocol.truncation or math.inf

    @property
    def psi(self) -> float:
        """The factor of w's distance from its mean, 1 without one."""
        return 1.0 if self.protocol.psi is None else self.protocol.psi

    @property
    def mean(self) -> dict[str, float]:
        """The mean of each column over the sampling seeds; columns of class numbers aren't averaged."""
        return {name: statistics.fmean(numbers[name] for numbers in self.each) for name in self._averaged}

    @property
    def std(self) -> dict[str, float]:
        """The standard deviation (n - 1) of each column over the sampling seeds; empty for one seed."""
        if len(self.each) < 2:
            return {}
        return {name: statistics.stdev(numbers[name] for numbers in self.each) for name in self._averaged}

    @property
    def _averaged(self) -> list[str]:
        named = {label for metric in METRICS.values() for label in metric.labels} if len(self.each) > 1 else set()
        return [name for name in self.each[0] if name not in named]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        optional = {"std": self.std or None, "acceptance": self.acceptance}
        found = {name: value for name, value in optional.items() if value is not None}
        sampling: dict[str, Any] = {"seeds": list(self.protocol.sampling_seeds), **found}
        plain = {
            **{name: getattr(self, name) for name in ("checkpoint", "round", "kimg", "training_seed", "selected_by")},
            "metrics": self.mean,
            "sampling": sampling | {"each": self.each},
            "protocol": self.protocol.as_dict(),
        }
        checks = {name: check._asdict() for name, check in (self.checks or {}).items()}
        return plain | ({"torch_fidelity": checks} if checks else {})


def of_generator(
    generator: Generator,
    seeds: Sequence[int],
    truncation: float | None,
    psi: float | None,
    device: str,
    evaluation: Evaluation,
    bar: ProgressBar,
) -> tuple[Measurement, Source]:
    """Measure a generator with these sampling seeds, truncation and psi; return its samples of the first seed too.

    No seeds, truncation or psi means the evaluation's.
    """
    weights = generator.path, generator.raw, generator.allow, generator.ema
    sampler, seeds = load(*weights, discriminator=evaluation.sampler is not None), seeds or [evaluation.seed]
    sampler.to(device)
    round = int(generator.state["round"])
    sources = [evaluation.adapt(sampler, seed, truncation, psi).source(seed) for seed in seeds]
    each = [evaluation(source, bar.of(f"round {round:,}, seed {source.seed}")) for source in sources]
    protocol = evaluation.protocol(generator.average, sampling_seeds=seeds, **sources[0].sampler.protocol)
    kimg, training_seed = float(generator.state["images_seen"]) / 1000, (generator.config or {}).get("seed")
    trained = str(generator.path), round, kimg, training_seed, generator.selected_by
    shares = [share for source in sources if (share := source.sampler.acceptance()) is not None]
    acceptance = statistics.fmean(shares) if shares else None
    return Measurement(each, protocol, evaluation.columns, *trained, acceptance=acceptance), sources[0]


def of_samples(samples: Samples, evaluation: Evaluation, bar: ProgressBar) -> tuple[Measurement, Source]:
    """Measure a fixed set of samples; return the samples too."""
    numbers = evaluation(samples.samples, bar.of(samples.name))
    protocol = evaluation.protocol(ema=None, batch_statistics=None, sampling_seeds=(), sampling=None)
    if isinstance(samples.samples, StatisticsFile):
        protocol = replace(protocol, num_fake=samples.count)
    return Measurement([numbers], protocol, evaluation.columns), samples.samples
