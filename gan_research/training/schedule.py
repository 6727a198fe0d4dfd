"""The order of updates in a round: Algorithm 1 of Goodfellow et al. 2014 and variants."""

from typing import Literal, get_args

from pydantic import PositiveInt

from gan_research.losses.base import PLAYERS, Player
from gan_research.utils.errors import UserError

FakeLabelSource = Literal["paired", "uniform", "data"]
Update = tuple[Player, ...]  # the players that step together; all their gradients are computed before the first step

D: Update = ("discriminator",)
G: Update = ("generator",)


class Schedule:
    """A round of `discriminator_steps` updates (k in the paper), then `generator_steps`, or the other way round.

    alternating: the generator's gradient is computed after the discriminator's last step (Algorithm 1).
    simultaneous: the last discriminator update and the first generator update compute their gradients at the same
    parameters and on the same fakes, then both step.
    generator_batch_multiple: minibatches of fakes in a generator update, in one pass (2 in the code of Gulrajani et al.
    2017, GEN_BS_MULTIPLE).
    fake_labels: the classes of fakes. paired: those of the update's reals, one for one (as R3GAN needs, whose loss
    compares both); uniform: drawn uniformly (BigGAN); data: drawn with the frequencies of the data.
    generator_reals: the reals of a generator update, where a loss or regularizer needs them, or paired labels. same:
    those of the discriminator update next to it, the last before it or the first after it; fresh: a minibatch of its
    own (R3GAN), which isn't counted in the images seen.
    first: the player whose updates begin the round; the generator in StyleGAN2's code.
    """

    def __init__(
        self,
        discriminator_steps: PositiveInt = 1,
        generator_steps: PositiveInt = 1,
        updates: Literal["alternating", "simultaneous"] = "alternating",
        generator_batch_multiple: PositiveInt = 1,
        fake_labels: FakeLabelSource = "paired",
        generator_reals: Literal["same", "fresh"] = "same",
        first: Player = "discriminator",
    ):
        counts = {"discriminator_steps": discriminator_steps, "generator_steps": generator_steps}
        for name, value in (counts | {"generator_batch_multiple": generator_batch_multiple}).items():
            if value < 1:
                raise UserError(f"schedule.{name}={value}: give at least 1")
        for name, choice, choices in (
            ("updates", updates, ("alternating", "simultaneous")),
            ("fake_labels", fake_labels, get_args(FakeLabelSource)),
            ("generator_reals", generator_reals, ("same", "fresh")),
            ("first", first, PLAYERS),
        ):
            if choice not in choices:
                raise UserError(f"schedule.{name}={choice}: give {' or '.join(choices)}")
        if first == "generator" and updates == "simultaneous":
            raise UserError(
                "schedule.first=generator: in simultaneous updates both players step at once: set updates=alternating, "
                "or first=discriminator"
            )
        if generator_reals == "fresh" and updates == "simultaneous":
            raise UserError(
                "schedule.generator_reals=fresh: in simultaneous updates both players use the same reals: set "
                "updates=alternating, or generator_reals=same"
            )
        if generator_batch_multiple > 1 and updates == "simultaneous":
            raise UserError(
                f"schedule.generator_batch_multiple={generator_batch_multiple}: in simultaneous updates both players "
                "use the same fakes: set updates=alternating, or a multiple of 1"
            )
        self.discriminator_steps, self.generator_steps = discriminator_steps, generator_steps
        self.updates, self.generator_batch_multiple = updates, generator_batch_multiple
        self.fake_labels: FakeLabelSource = fake_labels
        self.generator_reals, self.first = generator_reals, first
        k, n, fresh = discriminator_steps, generator_steps, generator_reals == "fresh"
        self.minibatches = k + (n if fresh else 0)
        """The number of real minibatches in a round."""
        if updates == "simultaneous":
            self._plan = (*[D] * (k - 1), D + G, *[G] * (n - 1))
        else:
            self._plan = (*[G] * n, *[D] * k) if first == "generator" else (*[D] * k, *[G] * n)
        own = range(self.minibatches)  # of updates that have a minibatch of their own
        self.reals: tuple[int, ...] = tuple(own)
        """The number, in the round, of the real minibatch of each update of the plan."""
        if not fresh:
            shared = len(self._plan) - k
            self.reals = (*[0] * shared, *own) if first == "generator" else (*own, *[k - 1] * shared)

    def plan(self, round: int) -> tuple[Update, ...]:
        """Return the updates of `round`, in order."""
        return self._plan

    def steps(self, player: Player) -> int:
        """Return the optimizer steps of `player` in a round."""
        return self.discriminator_steps if player == "discriminator" else self.generator_steps

    def updates_in(self, player: Player, round: int) -> range:
        """Return the numbers of the player's updates in `round`; updates and rounds are counted from 0."""
        steps = self.steps(player)
        return range(max(0, round) * steps, (round + 1) * steps)
