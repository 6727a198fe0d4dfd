"""The Parzen-window log-likelihood, the measure of the first GAN paper."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from gan_research.metrics.base import Metric, Split, Statistics
from gan_research.metrics.extractors.base import Extractor

PAIRS = 2**22  # the number of distances in memory at a time (32 MiB of float64)


class Parzen(Metric):
    """Mean log-density of held-out reals, in nats, under Gaussian kernels at the generated samples.

    The kernels' width is the one of `sigmas` with the largest likelihood of `num_validation` training samples.
    `parzen_se` is the standard error of the mean over the reals. Perfect: other training samples in place of the
    generated ones. Breuleux et al. 2011; Goodfellow et al. 2014, section 5, whose code (parzen_ll.py) has this grid
    and these numbers.
    """

    name = "parzen"
    columns = {"parzen": "max"}
    statistics = ("features",)
    sigmas: ClassVar[Tensor] = torch.logspace(-1, 0, 10, dtype=torch.float64)

    def __init__(self, extractor: Extractor, num_validation: int = 1000) -> None:
        super().__init__(extractor)
        self.num_validation = num_validation
        self.require_setting("num_validation", num_validation >= 1, "at least 1")
        self.perfect: tuple[Tensor, float] | None = None

    def real_statistics(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"features": self.num_validation + num_samples}, "heldout": {"features": None}}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        fakes, train = self.features(generated, real)
        heldout = real["heldout"]["features"].features
        validation, others = train.tensor_split([self.num_validation])

        def fit(centres: Tensor) -> tuple[float, Tensor]:
            sigma = best_sigma(validation, centres, self.sigmas)
            return sigma, log_likelihood(heldout, centres, [sigma])[0]

        sigma, likelihoods = fit(fakes)
        if self.perfect is None or self.perfect[0] is not train:  # once for the same reals
            self.perfect = (train, fit(others)[1].mean().item())
        return {
            "parzen": likelihoods.mean().item(),
            "parzen_se": likelihoods.std(correction=0).item() / math.sqrt(len(likelihoods)),
            "parzen_sigma": sigma,
            "parzen_perfect": self.perfect[1],
        }


def best_sigma(points: Tensor, centres: Tensor, sigmas: Tensor) -> float:
    """Return the one of `sigmas` with the greatest mean log-likelihood of `points`."""
    likelihoods = log_likelihood(points, centres, sigmas.tolist()).mean(1)
    return sigmas[int(likelihoods.argmax())].item()


def log_likelihood(points: Tensor, centres: Tensor, sigmas: list[float]) -> Tensor:
    """Return log 1/n sum_i N(x; c_i, sigma^2 I) for each sigma and point: (len(sigmas), N) float64.

    points (N, F), centres (n, F).
    """
    centres = centres.double()
    n, dim = centres.shape
    squares = centres.square().sum(1)
    blocks = []
    for block in points.split(max(1, PAIRS // n)):
        x = block.double()
        distances = (x.square().sum(1, keepdim=True) + squares).addmm_(x, centres.T, alpha=-2).clamp_(min=0)
        blocks.append(torch.stack([(distances / (-2 * sigma**2)).logsumexp(1) for sigma in sigmas]))
    norms = [math.log(n) + dim / 2 * math.log(2 * math.pi * sigma**2) for sigma in sigmas]
    return torch.cat(blocks, 1) - torch.tensor(norms, dtype=torch.float64, device=points.device)[:, None]
