"""What every adversarial loss offers."""

from torch import Tensor


class AdversarialLoss:
    """Both players' losses as functions of the logits (N,), both minimised, unreduced: (N,)."""

    needs_real = False
    """Whether `generator` wants the logits of real images; where it doesn't, D(real) isn't computed for it."""

    log_odds = False
    """Whether the logits are log-odds of being real, so that sigmoid(logits) is the probability D(x)."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """What the discriminator minimises; minus its mean is the value of the game."""
        raise NotImplementedError

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """What the generator minimises."""
        raise NotImplementedError
