"""The same numbers by torch-fidelity: what the project's own are held against."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from gan_research.metrics.base import DRAWS, Metric
from gan_research.metrics.evaluation import Evaluation, Source
from gan_research.metrics.exactness import exactly
from gan_research.metrics.extractors import Features
from gan_research.metrics.samples import SampleSet, drawn_places
from gan_research.metrics.statistics_files import StatisticsFile
from gan_research.utils.errors import UserError


class Check(NamedTuple):
    """One column: the project's own number, torch-fidelity's, and how far they are apart, relative to the larger."""

    ours: float
    theirs: float
    difference: float


def refusal(evaluation: Evaluation, *samples: Source | None) -> str | None:
    """Why torch-fidelity can't verify an evaluation of these samples, real and generated: one line; None: it can."""
    if not any(metric.name in ORACLES for metric in evaluation.metrics):
        return f"torch-fidelity has none of these metrics, only {', '.join(ORACLES)}: nothing to verify"
    if any(isinstance(part, StatisticsFile) for part in samples):
        return "--verify extracts features anew: it needs the pictures themselves, not their statistics"
    if getattr(evaluation.extractor, "mode", "tf1") != "tf1" and hasattr(evaluation.extractor, "oracle"):
        return f"torch-fidelity has no resize '{evaluation.extractor.mode}': --verify needs extractor.resize=tf1"
    return None


def verify(
    evaluation: Evaluation,
    source: Source,
    real: SampleSet | StatisticsFile | None,
    numbers: dict[str, float],
) -> dict[str, Check]:
    """`numbers`, which the evaluation gave for this source, beside torch-fidelity's for the same samples.

    Its own network and resize extract the features anew, where it has this network; its functions compare them. All
    features are held in memory. Metrics that it doesn't have are left out; a UserError where `refusal` has a reason.
    """
    if reason := refusal(evaluation, source, real):
        raise UserError(reason)
    assert not isinstance(source, StatisticsFile)
    assert not isinstance(real, StatisticsFile)
    measured = [metric for metric in evaluation.metrics if metric.name in ORACLES]
    draw = source if callable(source) else lambda start, stop: source.read(start, stop)[0]
    generated = _features(
        evaluation, lambda part: draw(int(part[0]), int(part[-1]) + 1), torch.arange(evaluation.num_samples)
    )
    reals = generated  # which no metric looks at where there are no real ones
    if real is not None:
        places = drawn_places(len(real), evaluation.num_real)
        places = torch.arange(len(real)) if places is None else places
        reals = _features(evaluation, lambda part: real.gather(part.tolist())[0], places)
    checks: dict[str, Check] = {}
    for metric in measured:
        for column, theirs in ORACLES[metric.name](metric, generated, reals).items():
            ours = numbers[column]
            checks[column] = Check(ours, theirs, abs(ours - theirs) / max(abs(ours), abs(theirs), 1e-12))
    return checks


def _features(evaluation: Evaluation, read: Callable[[Tensor], Tensor], places: Tensor) -> Features:
    """Features and logits of the samples at `places`, on the CPU, by torch-fidelity's network where it has this one."""
    extractor = evaluation.extractor
    extract, device = getattr(extractor, "oracle", extractor), extractor.device
    with exactly(device):
        seen = [extract(read(part).to(device)) for part in places.split(evaluation.batch_size)]
    logits = None if seen[0].logits is None else torch.cat([part.logits.cpu() for part in seen])
    return Features(torch.cat([part.features.cpu() for part in seen]), logits)


def _fid(metric: Any, generated: Features, real: Features) -> dict[str, float]:
    statistics = [fid_features_to_statistics(seen.features.double()) for seen in (generated, real)]
    found = fid_statistics_to_metric(*statistics, verbose=False)
    return {next(iter(metric.columns)): found["frechet_inception_distance"]}


def _inception_score(metric: Any, generated: Features, real: Features) -> dict[str, float]:
    found = isc_features_to_metric(generated.logits, splits=metric.splits, rng_seed=DRAWS)
    return {"is": found["inception_score_mean"], "is_std": found["inception_score_std"]}


def _kid(metric: Any, generated: Features, real: Features) -> dict[str, float]:
    drawn = {"kid_subsets": metric.subsets, "kid_subset_size": metric.subset_size, "rng_seed": DRAWS}
    sides = generated.features.double(), real.features.double()  # a KID near 0 drowns in the rounding of float32
    found = kid_features_to_metric(*sides, **drawn, verbose=False)
    return {"kid": found["kernel_inception_distance_mean"], "kid_std": found["kernel_inception_distance_std"]}


def _precision_recall(metric: Any, generated: Features, real: Features) -> dict[str, float]:
    found = prc_features_to_metric(
        generated.features, real.features, prc_neighborhood=metric.neighbours, save_cpu_ram=True, verbose=False
    )
    return {name: found[name] for name in ("precision", "recall")}


ORACLES: dict[str, Callable[[Metric, Features, Features], dict[str, float]]] = {
    "fid": _fid,
    "is": _inception_score,
    "kid": _kid,
    "precision_recall": _precision_recall,
}
"""Which metrics torch-fidelity has, and how it is asked."""
