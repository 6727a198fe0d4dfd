"""Selection among candidates, each a sample of the generator: rejection and an independence sampler."""

import math
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from gan_research.sampling.selection.base import Selection
from gan_research.utils.errors import UserError, require

AT_ONCE = 16  # the most candidates of a sample that are judged at once, to fill a batch

SMALLEST = 1e-14  # of d_M - d, so that F is finite (Azadi et al. 2019)


class Among(Selection):
    """The base of methods with a stream of candidates for each sample; the first one is the plain sample."""

    def candidates(
        self,
        sampler: Any,
        numbers: range,
        rows: Tensor,
        n: int,
        seed: int,
        start: int,
        labels: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return candidates of the samples start + `rows`, by their numbers, among n samples.

        Their latents (R, K, latent_dim), D's logits (R, K) and uniform numbers (R, K, 2), the last two in float64.
        """
        purposes = [f"candidate {number}" if number else "sample" for number in numbers]
        latents = torch.stack([sampler.latents(n, seed, start, purpose)[rows] for purpose in purposes], 1)
        uniform = [sampler.drawn(pairs, n, seed, start, f"choice {number}")[rows] for number in numbers]
        classes = None if labels is None else labels[rows].repeat_interleave(len(numbers))
        layers = sampler.layer_noise(seed, [start + row for row in rows.tolist() for _ in numbers])
        logits = sampler.logits(latents.flatten(0, 1), classes, layers).double().cpu()
        if not logits.isfinite().all():
            raise UserError(f"{self.name}: the discriminator's logits aren't finite: take an earlier checkpoint")
        return latents, logits.view(len(rows), -1), torch.stack(uniform, 1)


class Rejection(Among):
    """Discriminator rejection sampling (Azadi et al. 2019): a candidate is accepted with sigmoid(F - gamma).

    F = a - log(1 - e^a), a = d(x) - d_M, with d_M the largest logit of `burn_in` samples; above it a is 0. With
    gamma = 0 that is e^a: exact rejection for the density q e^d, if no sample has a larger logit. A larger gamma
    accepts less and prefers large logits; a negative one accepts more, and is closer to the generator's samples.

    percentile: gamma is this percentile of F in the burn-in, as in the paper; None: gamma is 0.
    max_tries: candidates of a sample; if none is accepted, one of them is drawn in proportion to P(accept).
    """

    def __init__(
        self,
        percentile: Annotated[float, Field(ge=0, le=100)] | None = None,
        burn_in: PositiveInt = 10000,
        max_tries: PositiveInt = 1000,
    ):
        require(1, **{"sampler.burn_in": burn_in, "sampler.max_tries": max_tries})
        if percentile is not None and not 0 <= percentile <= 100:
            raise UserError(f"sampler.percentile={percentile}: give 0 to 100, or null")
        self.percentile, self.burn_in, self.max_tries = percentile, burn_in, max_tries

    def latents(self, sampler: Any, n: int, seed: int, start: int, labels: Tensor | None, batch_size: int) -> Tensor:
        pending, tried, score = torch.arange(n), 0, torch.full((n,), -math.inf, dtype=torch.float64)
        chosen = torch.zeros(n, sampler.prior.latent_dim)
        while len(pending) and tried < self.max_tries:
            count = min(AT_ONCE, max(1, batch_size // len(pending)), self.max_tries - tried)
            numbers = range(tried, tried + count)
            latents, logits, uniform = self.candidates(sampler, numbers, pending, n, seed, start, labels)
            log_p = self.log_acceptance(sampler, logits, batch_size)
            log_u, log_v = uniform.log().unbind(-1)
            # Gumbel-max: the largest log P - log(-log v) is a draw in proportion to P. The first accepted one wins.
            best, index = torch.where(log_u < log_p, math.inf, log_p - (-log_v).log()).max(1)
            better = best > score[pending]
            rows = pending[better]
            score[rows], chosen[rows] = best[better], latents[better, index[better]]
            tries = torch.where(best == math.inf, index + 1, count).sum()
            pending, tried = pending[best < math.inf], tried + count
            sampler.count_tries(int(tries), int((best == math.inf).sum()))
        return chosen

    def log_acceptance(self, sampler: Any, logits: Tensor, batch_size: int) -> Tensor:
        """Return log P(accept) of candidates by their logits."""
        if "burn-in" not in sampler.measured:
            sampler.measured["burn-in"] = self.bounds(sampler, batch_size)
        largest, gamma = sampler.measured["burn-in"]
        below = logits - largest
        return below.clamp(max=0) if gamma is None else F.logsigmoid(log_odds(below) - gamma)

    def bounds(self, sampler: Any, batch_size: int) -> tuple[Tensor, Tensor | None]:
        """Return d_M and gamma (None: 0), of samples that are the same for each seed of sampling."""
        logits = []
        for start in range(0, self.burn_in, batch_size):
            n = min(batch_size, self.burn_in - start)
            latents, labels = sampler.latents(n, 0, start, "burn-in"), sampler.labels(n, start=start)
            layers = sampler.layer_noise(0, range(start, start + n), "burn-in")
            logits.append(sampler.logits(latents, labels, layers).double().cpu())
        each = torch.cat(logits)
        largest = each.max()
        if self.percentile is None:
            return largest, None
        return largest, log_odds(each - largest).quantile(self.percentile / 100)


class Metropolis(Among):
    """The independence sampler of MH-GAN (Turner et al. 2019): a chain moves to a candidate with min(1, e^(d' - d)).

    d' is the candidate's logit and d that of the chain's sample; the paper's ratio is the same, (1/D - 1)/(1/D' - 1). A
    chain starts at the plain sample, and its last state is the sample. It needs no largest logit: after K steps the
    total variation from p = q e^d is at most (1 - 1/M)^K, with M the largest p/q.

    steps: candidates in a chain.
    """

    def __init__(self, steps: PositiveInt = 200):
        require(1, **{"sampler.steps": steps})
        self.steps = steps

    def latents(self, sampler: Any, n: int, seed: int, start: int, labels: Tensor | None, batch_size: int) -> Tensor:
        rows, moves = torch.arange(n), 0
        count = min(AT_ONCE, max(1, batch_size // n))
        chosen, logit = torch.zeros(n, sampler.prior.latent_dim), torch.full((n,), -math.inf, dtype=torch.float64)
        for first in range(0, self.steps + 1, count):
            numbers = range(first, min(first + count, self.steps + 1))
            latents, logits, uniform = self.candidates(sampler, numbers, rows, n, seed, start, labels)
            for number in range(len(numbers)):
                moved = uniform[:, number, 0].log() < logits[:, number] - logit
                chosen[moved], logit[moved] = latents[moved, number], logits[moved, number]
                moves += int(moved.sum())
        sampler.count_tries(n * self.steps, moves - n)  # the plain sample is always taken
        return chosen


def log_odds(below: Tensor) -> Tensor:
    """Return F, the log-odds of e^a, for a = d - d_M."""
    below = below.clamp(max=-SMALLEST)
    return below - (-below.expm1()).log()


def pairs(n: int, generator: torch.Generator) -> Tensor:
    """Return uniform numbers (n, 2) in float64."""
    return torch.rand(n, 2, generator=generator, dtype=torch.float64)
