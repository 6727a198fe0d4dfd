"""What every adversarial loss offers."""

from typing import Literal, get_args

import torch
from torch import Tensor

from gan_research.losses.theory import Theory
from gan_research.utils.errors import UserError

Player = Literal["discriminator", "generator"]
"""A player, which has a loss and a network."""

PLAYERS: tuple[Player, ...] = get_args(Player)
OPPONENT: dict[Player, Player] = {"discriminator": "generator", "generator": "discriminator"}


class AdversarialLoss:
    """Both players' losses as functions of the logits (N,), both minimised, unreduced: (N,)."""

    needs_real = False
    """Whether `generator` wants the logits of real images; where it doesn't, D(real) isn't computed for it."""

    logits_are_log_odds = False
    """Whether the logits are log-odds of being real, so that sigmoid(logits) is the probability D(x)."""

    couples_batch = False
    """Whether a sample's loss depends on the rest of its minibatch: on several devices it is taken over all of it."""

    relativistic_base = False
    """Whether there is a `real_term` that is convex, bounded below and falling at 0: one that suits differences."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """What the discriminator minimises; minus its mean is the value of the game."""
        raise NotImplementedError

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """What the generator minimises."""
        raise NotImplementedError

    def theory(self) -> Theory:
        """What is true of the game where the discriminator plays its best."""
        raise UserError(f"{type(self).__name__} declares no theory: define theory(), or let it return unproved('why')")

    def expected(self, player: Player, logits: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """The mean of that player's loss over all pairs of a real state i ~ p and a fake state j ~ q; logits (S,)."""
        real, fake = torch.cartesian_prod(logits, logits).unbind(1)
        pairs = self.discriminator(real, fake) if player == "discriminator" else self.generator(fake, real)
        return pairs @ torch.outer(p, q).flatten()


class Separable(AdversarialLoss):
    """A discriminator's loss of one term for reals and one for fakes."""

    def real_term(self, logits: Tensor) -> Tensor:
        """What the discriminator pays for the logits (N,) of reals."""
        raise NotImplementedError

    def fake_term(self, logits: Tensor) -> Tensor:
        """What it pays for those of fakes: the mirror image, unless a loss has it otherwise."""
        return self.real_term(-logits)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return self.real_term(real_logits) + self.fake_term(fake_logits)
