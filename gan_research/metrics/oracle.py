"""Verification by torch-fidelity: the same numbers, computed by its own code."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from gan_research.data.sets import SampleSet
from gan_research.metrics.base import METRIC_SEED, Metric
from gan_research.metrics.evaluation import Evaluation, Source
from gan_research.metrics.exactness import exactly
from gan_research.metrics.extractors.base import Features
from gan_research.metrics.samples import drawn_indices
from gan_research.metrics.statistics_files import StatisticsFile
from gan_research.utils.errors import UserError


class Check(NamedTuple):
    """A column's number here and by torch-fidelity, and their difference relative to the larger."""

    ours: float
    theirs: float
    difference: float


def refusal(evaluation: Evaluation, *samples: Source | None) -> str | None:
    """Return in one line why torch-fidelity can't verify an evaluation of these samples; None if it can."""
    if not any(metric.name in ORACLES for metric in evaluation.metrics):
        return f"torch-fidelity has none of these metrics, only {', '.join(ORACLES)}: nothing to verify"
    if any(isinstance(part, StatisticsFile) for part in samples):
        return "--verify extracts the features again: it needs the images themselves, not their statistics"
    if getattr(evaluation.extractor, "mode", "tf1") != "tf1" and hasattr(evaluation.extractor, "oracle"):
        return f"torch-fidelity has no resize '{evaluation.extractor.mode}': --verify needs extractor.resize=tf1"
    return None


def verify(
    evaluation: Evaluation, source: Source, real: SampleSet | StatisticsFile | None, numbers: dict[str, float]
) -> dict[str, Check]:
    """Compare `numbers`, which the evaluation computed for this source, with torch-fidelity's.

    Its own network and resize extract the features if it has this network; its functions compare them. All features
    are in memory. Metrics that it doesn't have are left out. Raises a UserError if there is a `refusal`.
    """
    if reason := refusal(evaluation, source, real):
        raise UserError(reason)
    assert not isinstance(source, StatisticsFile)
    assert not isinstance(real, StatisticsFile)
    draw = source if callable(source) else lambda start, stop: source.read(start, stop)[0]
    indices = torch.arange(evaluation.num_samples)
    generated = _features(evaluation, lambda part: draw(int(part[0]), int(part[-1]) + 1), indices)
    reals = generated  # if there are no real ones, no metric uses them
    if real is not None:
        drawn = drawn_indices(len(real), evaluation.num_real)
        indices = torch.arange(len(real)) if drawn is None else drawn
        reals = _features(evaluation, lambda part: real.gather(part.tolist())[0], indices)
    checks: dict[str, Check] = {}
    for metric in evaluation.metrics:
        if metric.name in ORACLES:
            for column, theirs in ORACLES[metric.name](metric, generated, reals).items():
                ours = numbers[column]
                checks[column] = Check(ours, theirs, abs(ours - theirs) / max(abs(ours), abs(theirs), 1e-12))
    return checks


def _features(evaluation: Evaluation, read: Callable[[Tensor], Tensor], indices: Tensor) -> Features:
    """Return features and logits on the CPU, by torch-fidelity's network if it has this one."""
    extractor = evaluation.extractor
    extract, device = getattr(extractor, "oracle", extractor), extractor.device
    with exactly(device):
        batches = [extract(read(part).to(device)) for part in indices.split(evaluation.batch_size)]
    logits = None if batches[0].logits is None else torch.cat([batch.logits.cpu() for batch in batches])
    return Features(torch.cat([batch.features.cpu() for batch in batches]), logits)


def _fid(metric: Any, generated: Features, real: Features) -> dict[str, float]:
    statistics = [fid_features_to_statistics(part.features.double()) for part in (generated, real)]
    found = fid_statistics_to_metric(*statistics, verbose=False)
    return {next(iter(metric.columns)): found["frechet_inception_distance"]}


def _inception_score(metric: Any, generated: Features, real: Features) -> dict[str, float]:
    found = isc_features_to_metric(generated.logits, splits=metric.splits, rng_seed=METRIC_SEED)
    return {"inception_score": found["inception_score_mean"], "inception_score_std": found["inception_score_std"]}


def _kid(metric: Any, generated: Features, real: Features) -> dict[str, float]:
    options = {"kid_subsets": metric.subsets, "kid_subset_size": metric.subset_size, "rng_seed": METRIC_SEED}
    sides = generated.features.double(), real.features.double()  # float32 would round away a KID near 0
    found = kid_features_to_metric(*sides, **options, verbose=False)
    return {"kid": found["kernel_inception_distance_mean"], "kid_std": found["kernel_inception_distance_std"]}


def _precision_recall(metric: Any, generated: Features, real: Features) -> dict[str, float]:
    found = prc_features_to_metric(
        generated.features, real.features, prc_neighborhood=metric.neighbours, save_cpu_ram=True, verbose=False
    )
    return {name: found[name] for name in ("precision", "recall")}


ORACLES: dict[str, Callable[[Metric, Features, Features], dict[str, float]]] = {  # its computation by torch-fidelity
    "fid": _fid,
    "inception_score": _inception_score,
    "kid": _kid,
    "precision_recall": _precision_recall,
}
