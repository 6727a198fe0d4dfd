"""The Parzen-window log-likelihood: what the first GAN paper measured."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from gan_research.metrics.extractors import Extractor
from gan_research.metrics.scores import FeatureMetric, Split

PAIRS = 2**22
"""So many distances are held at a time (32 MiB of float64)."""


class Parzen(FeatureMetric):
    """Mean log-density, in nats, of all held-out reals under Gaussian kernels of width sigma at the generated samples.

    sigma is that of `sigmas` by which the first 1,000 training samples are likeliest. `parzen_se` is the standard error
    of the mean over the reals. Perfect: as many training samples, the next ones, in place of the generated.
    Breuleux et al. 2011; Goodfellow et al. 2014, section 5, whose code (parzen_ll.py) has this grid and these numbers.
    """

    name = "parzen"
    best = "max"
    sigmas: ClassVar[Tensor] = torch.logspace(-1, 0, 10, dtype=torch.float64)
    num_validation: ClassVar[int] = 1000

    def __init__(self, extractor: Extractor, seed: int, device: torch.device) -> None:
        super().__init__(extractor, seed, device)
        self.perfect: float | None = None

    @classmethod
    def wants(cls, num_samples: int) -> dict[Split, int | None]:
        return {"train": cls.num_validation + num_samples, "heldout": None}

    def compute(self) -> dict[str, float]:
        validation, others = torch.cat(self.real["train"]).tensor_split([self.num_validation])
        heldout = torch.cat(self.real["heldout"])

        def fitted(centres: Tensor) -> tuple[float, Tensor]:
            sigma = best_sigma(validation, centres, self.sigmas)
            return sigma, log_likelihood(heldout, centres, [sigma])[0]

        sigma, likelihoods = fitted(torch.cat(self.generated))
        if self.perfect is None:
            self.perfect = fitted(others)[1].mean().item()
        return {
            "parzen": likelihoods.mean().item(),
            "parzen_se": likelihoods.std(correction=0).item() / math.sqrt(len(likelihoods)),
            "parzen_sigma": sigma,
            "parzen_perfect": self.perfect,
        }


def best_sigma(points: Tensor, centres: Tensor, sigmas: Tensor) -> float:
    """That of `sigmas` by which `points` have the greatest mean log-likelihood."""
    likelihoods = log_likelihood(points, centres, sigmas.tolist()).mean(1)
    return sigmas[int(likelihoods.argmax())].item()


def log_likelihood(points: Tensor, centres: Tensor, sigmas: list[float]) -> Tensor:
    """log 1/n sum_i N(x; c_i, sigma^2 I) of points (N, F) for each sigma, centres (n, F): (len(sigmas), N) float64."""
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
