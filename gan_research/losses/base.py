"""The contract of an adversarial loss."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from gan_research.losses.theory import Theory
from gan_research.utils.errors import UserError

Player = Literal["discriminator", "generator"]  # a player, which has a loss and a network

PLAYERS: tuple[Player, ...] = get_args(Player)
OPPONENT: dict[Player, Player] = {"discriminator": "generator", "generator": "discriminator"}


class AdversarialLoss:
    """The losses of both players as functions of the logits (N,): minimized, unreduced (N,)."""

    needs_real = False  # true if `generator` requires the logits of real images, which are computed only then
    logits_are_log_odds = False  # true if the logits are log-odds of being real: sigmoid(logits) is D(x)
    couples_batch = False  # true if a sample's loss depends on its minibatch, the global one over all ranks
    wants_lipschitz = False  # true if its theory holds for a Lipschitz discriminator only
    needs_extras: tuple[str, ...] = ()  # names in `DOutput.extras` that it reads; D's head must provide them
    relativistic_base = False
    """True if `real_term` is convex, bounded below and falling at 0, as relativistic losses require."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return the discriminator's loss; minus its mean is the value of the game."""
        raise NotImplementedError

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Return the generator's loss."""
        raise NotImplementedError

    def of_discriminator(self, real: Any, fake: Any) -> Tensor:
        """Return the discriminator's loss for both `Side`s.

        Override it if the loss needs more than logits.
        """
        return self.discriminator(real.out.logits, fake.out.logits)

    def of_generator(self, fake: Any, real: Any | None = None) -> Tensor:
        """Return the generator's loss for the fake `Side`; the real one's D(real) is there if it `needs_real`."""
        return self.generator(fake.out.logits, real.out.logits if real is not None and self.needs_real else None)

    def theory(self) -> Theory:
        """Return what is known about the game at the optimal discriminator."""
        raise UserError(f"{type(self).__name__} declares no theory: define theory(), or let it return unproved('why')")

    def expected(self, player: Player, logits: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """Return a player's expected loss for reals ~ p and fakes ~ q; logits (S,)."""
        real, fake = torch.cartesian_prod(logits, logits).unbind(1)
        pairs = self.discriminator(real, fake) if player == "discriminator" else self.generator(fake, real)
        return pairs @ torch.outer(p, q).flatten()


class Separable(AdversarialLoss):
    """A loss whose discriminator term is separate for reals and fakes."""

    def real_term(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss on the logits (N,) of reals."""
        raise NotImplementedError

    def fake_term(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss on the logits (N,) of fakes; by default mirrored."""
        return self.real_term(-logits)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return self.real_term(real_logits) + self.fake_term(fake_logits)
