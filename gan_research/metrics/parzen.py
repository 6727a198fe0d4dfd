"""The Parzen-window log-likelihood: what the first GAN paper measured."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from gan_research.metrics.base import Kept, Metric, Split
from gan_research.metrics.extractors import Extractor
from gan_research.utils.errors import UserError

PAIRS = 2**22
"""So many distances are held at a time (32 MiB of float64)."""


class Parzen(Metric):
    """Mean log-density, in nats, of all held-out reals under Gaussian kernels of width sigma at the generated samples.

    sigma is that of `sigmas` by which `num_validation` training samples are likeliest. `parzen_se` is the standard
    error of the mean over the reals. Perfect: as many training samples, other ones, in place of the generated.
    Breuleux et al. 2011; Goodfellow et al. 2014, section 5, whose code (parzen_ll.py) has this grid and these numbers.
    """

    name = "parzen"
    columns = {"parzen": "max"}
    wants = ("features",)
    sigmas: ClassVar[Tensor] = torch.logspace(-1, 0, 10, dtype=torch.float64)

    def __init__(self, extractor: Extractor, num_validation: int = 1000) -> None:
        super().__init__(extractor)
        if num_validation < 1:
            raise UserError(f"metric 'parzen' needs the setting num_validation of at least 1, not {num_validation}")
        self.num_validation = num_validation
        self.perfect: tuple[Tensor, float] | None = None

    def wants_real(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"features": self.num_validation + num_samples}, "heldout": {"features": None}}

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        found = generated["features"].features
        train, heldout = real["train"]["features"].features, real["heldout"]["features"].features
        if len(train) != self.num_validation + len(found):
            raise UserError(
                f"metric 'parzen' needs {self.num_validation + len(found):,} training samples, drawn at random, for "
                f"{len(found):,} generated ones, not {len(train):,}"
            )
        validation, others = train.tensor_split([self.num_validation])

        def fitted(centres: Tensor) -> tuple[float, Tensor]:
            sigma = best_sigma(validation, centres, self.sigmas)
            return sigma, log_likelihood(heldout, centres, [sigma])[0]

        sigma, likelihoods = fitted(found)
        if self.perfect is None or self.perfect[0] is not train:  # once for the same reals
            self.perfect = (train, fitted(others)[1].mean().item())
        return {
            "parzen": likelihoods.mean().item(),
            "parzen_se": likelihoods.std(correction=0).item() / math.sqrt(len(likelihoods)),
            "parzen_sigma": sigma,
            "parzen_perfect": self.perfect[1],
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
