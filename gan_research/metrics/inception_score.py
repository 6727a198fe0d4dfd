"""The inception score."""

from collections.abc import Mapping

import numpy as np
import torch

from gan_research.metrics.base import DRAWS, Kept, Metric, Split
from gan_research.metrics.extractors import Extractor
from gan_research.utils.errors import UserError


class InceptionScore(Metric):
    """exp E_x KL(p(y|x) || p(y)) from the extractor's classes: mean and standard deviation over splits, in float64.

    From 1, where all samples look the same, to the number of classes. Samples are shuffled as torch-fidelity does it;
    the standard deviation is the population's, as there. Salimans et al. 2016, arXiv 1606.03498, section 4.
    """

    name = "is"
    columns = {"is": "max"}
    wants = ("logits",)
    needs_logits = True

    def __init__(self, extractor: Extractor, splits: int = 10) -> None:
        super().__init__(extractor)
        if splits < 1:
            raise UserError(f"metric 'is' needs the setting splits of at least 1, not {splits}")
        self.splits = splits
        self.min_samples = 10 * splits  # of one sample a split would score 1

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        logits = generated["logits"]
        count = len(logits)
        order = torch.from_numpy(np.random.RandomState(DRAWS).permutation(count)).to(logits.device)
        bounds = [i * count // self.splits for i in range(1, self.splits)]
        scores = []
        for split in order.tensor_split(bounds):
            log_p = logits[split].double().log_softmax(1)
            log_marginal = log_p.logsumexp(0) - np.log(len(split))
            scores.append((log_p.exp() * (log_p - log_marginal)).sum(1).mean().exp().item())
        return {"is": float(np.mean(scores)), "is_std": float(np.std(scores))}
