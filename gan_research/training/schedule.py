"""The updates of a round: Algorithm 1 of Goodfellow et al. 2014, k discriminator updates and then the generator's."""

from typing import Literal

from gan_research.losses.base import Player
from gan_research.utils.errors import UserError

Update = tuple[Player, ...]
"""The players that take an optimizer step together, their gradients all taken before it."""


class Schedule:
    """One round: `discriminator_steps` updates (the paper's k), then `generator_steps`.

    alternating: the generator's gradient is taken after the discriminator's last step (Algorithm 1).
    simultaneous: the last discriminator update and the first generator update take their gradients at the same
    parameters and on the same fakes, then both step.
    generator_batch_multiple: a generator update takes as many minibatches of fakes, in one pass (2 in the code of
    Gulrajani et al. 2017, GEN_BS_MULTIPLE).
    """

    def __init__(
        self,
        discriminator_steps: int = 1,
        generator_steps: int = 1,
        updates: Literal["alternating", "simultaneous"] = "alternating",
        generator_batch_multiple: int = 1,
    ):
        if discriminator_steps < 1 or generator_steps < 1:
            raise UserError(
                f"a round needs at least one update of each player: discriminator_steps={discriminator_steps}, "
                f"generator_steps={generator_steps}"
            )
        if updates not in ("alternating", "simultaneous"):
            raise UserError(f"schedule.updates={updates}: give alternating or simultaneous")
        if generator_batch_multiple < 1:
            raise UserError(f"schedule.generator_batch_multiple={generator_batch_multiple}: give at least 1")
        if generator_batch_multiple > 1 and updates == "simultaneous":
            raise UserError(
                f"schedule.generator_batch_multiple={generator_batch_multiple}: in simultaneous updates both players "
                "take the same fakes: set updates=alternating, or a multiple of 1"
            )
        self.discriminator_steps = discriminator_steps
        self.generator_steps = generator_steps
        self.updates = updates
        self.generator_batch_multiple = generator_batch_multiple

        d: Update = ("discriminator",)
        g: Update = ("generator",)
        meeting = (d + g,) if updates == "simultaneous" else (d, g)
        self._plan: tuple[Update, ...] = (d,) * (discriminator_steps - 1) + meeting + (g,) * (generator_steps - 1)

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
