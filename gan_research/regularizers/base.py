"""The contract of a regularizer."""

from typing import Any, ClassVar, overload

from pydantic import PositiveInt
from torch import Tensor, nn

from gan_research.losses.base import Player
from gan_research.regularizers.step import OwnSide, Step
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative, Ramp, bounds
from gan_research.utils.ranges import PositiveFraction


class Regularizer(nn.Module):
    """A term added to a player's loss, or an action after its optimizer step.

    A subclass declares `players` and implements `penalty`. One with state collects statistics of micro-batches in
    `update` and applies them in `after_step`. The state is kept in buffers that are changed in place, so that training
    resumes bit for bit and CUDA graphs replay it.

    weight: factor of the penalty's mean. It may be a `Ramp`.
    every: interval in updates of the penalized player (lazy regularization, Karras et al. 2020, section 3.1), by which
        the weight is multiplied.
    own_step: take the penalty in an optimizer step of its own, after that of the player's update, as StyleGAN2's code
        does: on the update's reals, with fresh latents and augmentations. Penalties due at the same time share it. With
        c = updates / optimizer steps, every / (every + 1) for one interval, the player's lr is multiplied by c, and
        Adam's betas are raised to the power c, also where they are ramps; other settings stay as they are.
    """

    players: tuple[Player, ...] = ("discriminator",)
    """The players to whose losses the penalty is added; () if it only acts after steps."""
    needs_input_grad: tuple[OwnSide, ...] = ()
    """The sides whose `step.input_gradient` a discriminator penalty takes from the loss's forward pass."""
    reads: tuple[OwnSide, ...] = ("real", "fake")
    """The sides that the penalty reads, or D's augmentations; those computed in a step of its own."""
    needs_real_output: ClassVar[bool] = False
    """True if a generator penalty reads `step.real.out`, which is computed without a gradient."""
    needs_extras: tuple[str, ...] = ()
    """The names in `DOutput.extras` that the penalty reads; the discriminator's head must provide them."""
    full_precision: ClassVar[bool] = True
    """True if the penalty's own forward passes run in float32, uncompiled, as second derivatives require."""
    couples_batch: bool = False
    """True if a penalty depends on the whole minibatch: it gathers over ranks and allows no accumulation."""
    keeps_lipschitz: ClassVar[bool] = False
    """True if it bounds the discriminator's slope between reals and fakes, as Wasserstein losses want."""
    crosses_players: bool = False
    """True if the penalty takes gradients in both players' parameters, which are then not frozen."""
    reads_weights: bool = False
    """True if the penalty reads weights outside of forward passes, where sharded ones aren't gathered."""

    def __init__(self, weight: NonNegative = 1.0, every: PositiveInt = 1, own_step: bool = False):
        super().__init__()
        if every < 1:
            raise UserError(f"{type(self).__name__}: every={every}: set an interval of at least 1 update")
        if isinstance(weight, Ramp) and bounds(weight)[0] < 0:
            raise UserError(f"{type(self).__name__}: weight={weight}: set it to at least 0")
        self.weight, self.every, self.own_step = weight, every, own_step

    def due(self, update: int) -> bool:
        """Return whether the penalty is applied in this update (counted from 0) of a player."""
        return update % self.every == 0

    def penalty(self, step: Step) -> Tensor:
        """Return the penalty of each sample (N,), of each pack (N/m,), or their mean ()."""
        raise NotImplementedError

    def update(self, step: Step) -> None:
        """Collect statistics of a micro-batch with a penalty, without a copy to the host."""

    def after_step(self, player: Player, network: nn.Module) -> None:
        """Act after each update of `player`, on `network` or on buffers."""

    def check(self, objective: Any) -> None:
        """Raise a UserError if the regularizer doesn't support the `Objective`."""

    def check_batch(self, logits: int) -> None:
        """Raise a UserError if micro-batches can't have so many logits on each rank."""


class RegularizerOfShare(Regularizer):
    """A regularizer of a share of the samples, 1 / n for every n-th.

    They are the same ones on any number of ranks.
    """

    def __init__(self, weight: NonNegative, every: PositiveInt, own_step: bool, share: PositiveFraction):
        super().__init__(weight, every, own_step)
        if not 0 < share <= 1 or abs(round(1 / share) * share - 1) > 0.01:
            raise UserError(f"{type(self).__name__}: share={share}: set it to 1, 1/2, 1/3 and so on")
        self.share, self.stride = share, round(1 / share)

    def check_batch(self, logits: int) -> None:
        if logits % self.stride:
            raise UserError(
                f"{type(self).__name__}: share={self.share} doesn't divide {logits} logits of a micro-batch: choose "
                "another batch_size"
            )

    @overload
    def some(self, values: Tensor, packing: int = 1) -> Tensor: ...

    @overload
    def some(self, values: Tensor | None, packing: int = 1) -> Tensor | None: ...

    def some(self, values: Tensor | None, packing: int = 1) -> Tensor | None:
        """Return the rows of every n-th pack; None for None."""
        if values is None:
            return None
        packs = values.unflatten(0, (-1, packing))
        self.check_batch(len(packs))
        return packs[:: self.stride].flatten(0, 1)
