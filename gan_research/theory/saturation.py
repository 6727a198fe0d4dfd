"""The generator's gradient against the discriminator's confidence: section 3 of Goodfellow et al. 2014.

The gradient of log(1 - D(G(z))) in the logit is -D(G(z)), which vanishes where D rejects a fake. As D is trained to
optimality against a fixed generator, the minimax gradient vanishes (Arjovsky & Bottou 2017, "Towards principled methods
for training generative adversarial networks", section 2.1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan_research.losses.base import AdversarialLoss
from gan_research.losses.minimax import Minimax
from gan_research.sampling.priors import Prior
from gan_research.training.gan import OptimizerFactory


@dataclass(frozen=True)
class Pull:
    """The generator's gradient in the logits of fakes."""

    logits: Tensor
    gradients: Tensor  # the gradients dL_G / dlogit (N,)
    probabilities: Tensor | None  # D(G(z)) = sigmoid(logit) (N,), for losses whose logits are log-odds
    real_logit: float | None  # the logit of all reals, for losses that compare fakes with reals


@dataclass(frozen=True)
class TrainedDiscriminator:
    """An untrained generator under a discriminator after `steps` updates against it."""

    steps: int
    value: float  # V(D, G) on new samples: 0 if D is perfect, -log 4 if it can't discriminate
    rejection: float  # the mean of D(G(z))
    norms: dict[str, float]  # the gradient norm in the generator's parameters, for each loss, at the same D


def pull(loss: AdversarialLoss, logits: Tensor, real_logit: float | None = None) -> Pull:
    """Compute `dL_G / dlogit` at the logits (N,) of fakes, each in its own batch.

    A loss that compares them with reals gets reals of `real_logit`, by default its optimal logit at p = q.
    """
    fakes = logits.detach().double().requires_grad_()
    at = (loss.theory().logit_at_equality if real_logit is None else real_logit) if loss.needs_real else None
    # a batch for each fake, for losses that average over the batch
    losses = [loss.generator(fake, None if at is None else torch.full_like(fake, at)).sum() for fake in fakes.split(1)]
    (gradients,) = torch.autograd.grad(torch.stack(losses).sum(), fakes)
    fakes = fakes.detach()
    return Pull(fakes, gradients, fakes.sigmoid() if loss.logits_are_log_odds else None, at)


def measured(
    losses: Mapping[str, AdversarialLoss],
    generator: nn.Module,
    discriminator: nn.Module,
    prior: Prior,
    sample: Callable[[int, torch.Generator], Tensor],
    optimizer: OptimizerFactory,
    checkpoints: tuple[int, ...] = (0, 25, 100, 400),
    batch_size: int = 256,
    seed: int = 0,
) -> list[TrainedDiscriminator]:
    """Measure a fixed generator's gradient norms at checkpoints of D's training against it.

    `sample` draws real points (n, dim). D is trained on cross-entropy, so that its logits are log-odds. All losses are
    evaluated at the same D, latents and reals.
    """
    random, game = torch.Generator().manual_seed(seed), Minimax()
    steps = optimizer(discriminator.parameters())

    def logits(n: int) -> tuple[Tensor, Tensor]:
        real = discriminator(sample(n, random)).logits
        return real, discriminator(generator(prior.sample(n, random))).logits

    rows = []
    for step in range(max(checkpoints) + 1):
        if step in checkpoints:
            rows.append(_measure(step, losses, generator, *logits(8 * batch_size)))
        real, fake = logits(batch_size)
        steps.zero_grad()
        game.discriminator(real, fake).mean().backward(inputs=list(discriminator.parameters()))
        steps.step()
    return rows


def _measure(
    step: int, losses: Mapping[str, AdversarialLoss], generator: nn.Module, real: Tensor, fake: Tensor
) -> TrainedDiscriminator:
    norms = {}
    for name, loss in losses.items():
        cost = loss.generator(fake, real if loss.needs_real else None).mean()
        gradients = torch.autograd.grad(cost, list(generator.parameters()), retain_graph=True)
        norms[name] = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    value = -Minimax().discriminator(real, fake).mean().item()
    return TrainedDiscriminator(step, value, fake.sigmoid().mean().item(), norms)
