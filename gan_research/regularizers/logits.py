"""Penalties on the discriminator's logits."""

import torch
from torch import Tensor, nn

from gan_research.distributed import mean_of_all
from gan_research.losses import AdversarialLoss, Player
from gan_research.regularizers.base import Play, Regularizer
from gan_research.utils.errors import UserError


class LabelSmoothing(Regularizer):
    """One-sided: D's target for reals is 1 - smoothing (Salimans et al. 2016, section 3.4).

    In the logit l, (1 - s) softplus(-l) + s softplus(l) = softplus(-l) + s l: the penalty is l of reals, its weight s.
    D's best is then (1 - s) p / (p + q), no longer p / (p + q), and -log 4 isn't the value of the game at p = q.
    """

    def __init__(self, smoothing: float = 0.1):
        if not 0 <= smoothing < 1:
            raise UserError(f"label_smoothing: smoothing={smoothing}: give at least 0 and less than 1")
        super().__init__(weight=smoothing)

    def check(self, loss: AdversarialLoss) -> None:
        if not loss.log_odds:
            raise UserError(
                f"label_smoothing wants logits that are log-odds, and those of {type(loss).__name__} aren't: "
                "take loss=non_saturating or loss=minimax, or leave it out"
            )

    def discriminator_penalty(self, play: Play) -> Tensor:
        assert play.real_logits is not None
        return play.real_logits


class LeCam(Regularizer):
    """weight * ((D(x) - alpha_F)^2 + (D(G(z)) - alpha_R)^2) (Tseng et al. 2021, equation 4).

    alpha_R and alpha_F are the moving averages of D's logits on reals and on fakes, as of the updates before this one;
    they start from 0, where D's logits start. (The authors' code also clips both differences at 0.)
    """

    remembers = True
    alpha_real: Tensor
    alpha_fake: Tensor

    def __init__(self, weight: float = 0.3, decay: float = 0.99):
        super().__init__(weight)
        if not 0 <= decay < 1:
            raise UserError(f"lecam: decay={decay}: give at least 0 and less than 1")
        self.decay = decay
        self.register_buffer("alpha_real", torch.zeros(()))
        self.register_buffer("alpha_fake", torch.zeros(()))
        self._means: list[tuple[Tensor, Tensor]] = []
        """The mean logits on the reals and the fakes of each micro-batch since the last step."""

    def discriminator_penalty(self, play: Play) -> Tensor:
        real, fake = play.real_logits, play.fake_logits
        assert real is not None
        self._means.append((real.detach().mean(), fake.detach().mean()))
        return (real - self.alpha_fake).square() + (fake - self.alpha_real).square()

    def after_step(self, player: Player, network: nn.Module) -> None:
        if player == "discriminator" and self._means:
            real, fake = mean_of_all(torch.stack([torch.stack(pair) for pair in self._means]).mean(0))
            self.alpha_real.lerp_(real, 1 - self.decay)
            self.alpha_fake.lerp_(fake, 1 - self.decay)
            self._means.clear()
