"""The inception score."""

from collections.abc import Mapping

import numpy as np
import torch

from gan_research.metrics.base import METRIC_SEED, Metric, Split, Statistics
from gan_research.metrics.extractors.base import Extractor


class InceptionScore(Metric):
    """exp E_x KL(p(y|x) || p(y)) from the extractor's classes: mean and standard deviation over splits, in float64.

    It is between 1, if all samples look the same, and the number of classes. Samples are shuffled, and the standard
    deviation is over N, as in torch-fidelity. Salimans et al. 2016, arXiv 1606.03498, section 4.
    """

    name = "inception_score"
    columns = {"inception_score": "max"}
    ranges = {"inception_score": (1, None)}
    statistics = ("logits",)
    needs_logits = True

    def __init__(self, extractor: Extractor, splits: int = 10) -> None:
        super().__init__(extractor)
        self.ranges = {"inception_score": (1, extractor.num_classes or None)}
        self.splits = splits
        self.require_setting("splits", splits >= 1, "at least 1")
        self.min_samples = 10 * splits  # a split of one sample would score 1

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        logits = generated["logits"]
        count = len(logits)
        order = torch.from_numpy(np.random.RandomState(METRIC_SEED).permutation(count)).to(logits.device)
        bounds = [i * count // self.splits for i in range(1, self.splits)]
        scores = []
        for split in order.tensor_split(bounds):
            log_p = logits[split].double().log_softmax(1)
            log_marginal = log_p.logsumexp(0) - np.log(len(split))
            scores.append((log_p.exp() * (log_p - log_marginal)).sum(1).mean().exp().item())
        return {"inception_score": float(np.mean(scores)), "inception_score_std": float(np.std(scores))}
