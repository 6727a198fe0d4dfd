"""The contract of samplers that use the discriminator."""

from typing import Any

from torch import Tensor

from gan_research.checkpoints.rebuild import Rebuildable
from gan_research.sampling.priors import Prior
from gan_research.utils.errors import UserError


class Selection(Rebuildable):
    """A sampler that uses the discriminator: it selects the latents of samples.

    D's logits d(x) are log-odds: log p(x)/q(x) for the optimal D, with p the density of data and q that of samples.
    Each method draws from q(x) exp(d(x)), up to an error that it states; that is p for the optimal D. Latents are
    selected before all that `Sampler` does to them, such as truncation; the noise of layers stays that of the sample.
    """

    @property
    def name(self) -> str:
        """The name in messages and protocols."""
        return type(self).__name__.lower()

    @property
    def description(self) -> str:
        """The method with its settings, for the protocol of an evaluation."""
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.init_args.items())})"

    def check(self, prior: Prior, discriminator: Any) -> None:
        """Raise a UserError if latents of this prior can't be selected by this discriminator."""
        if discriminator is None:
            raise UserError(f"{self.name} needs the discriminator: load it, too, with load(..., discriminator=True)")
        if (count := discriminator.batch_multiple) > 1:
            groups = f"packs or groups of {count} samples"
            raise UserError(f"{self.name} needs a logit of each sample alone, and this discriminator judges {groups}")
        if discriminator.logits_are_log_odds is None:
            raise UserError(
                f"{self.name} needs logits that are log-odds, and the loss of this discriminator isn't known: take a "
                "checkpoint of gan train, or set discriminator.logits_are_log_odds"
            )
        if not discriminator.logits_are_log_odds:
            raise UserError(
                f"{self.name} needs logits that are log-odds, and the loss of this discriminator has others: train "
                "with loss=non_saturating or loss=minimax"
            )

    def latents(self, sampler: Any, n: int, seed: int, start: int, labels: Tensor | None, batch_size: int) -> Tensor:
        """Return the latents (n, latent_dim) of samples start .. start + n - 1 with classes (n,).

        Each is a function of the seed, its number and its class. n is at most batch_size.

        sampler: the `Sampler`; its `drawn` and `latents` are streams of numbers for each sample, its `logits` are D's.
        """
        raise NotImplementedError
