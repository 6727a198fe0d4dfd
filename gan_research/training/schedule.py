"""The order of updates in a round: Algorithm 1 of Goodfellow et al. 2014 and variants."""

from typing import Literal

from pydantic import PositiveInt

from gan_research.losses.base import Player
from gan_research.utils.errors import UserError

Update = tuple[Player, ...]  # the players that step together; all their gradients are computed before the first step


class Schedule:
    """A round of `discriminator_steps` updates (k in the paper), then `generator_steps`.

    alternating: the generator's gradient is computed after the discriminator's last step (Algorithm 1).
    simultaneous: the last discriminator update and the first generator update compute their gradients at the same
    parameters and on the same fakes, then both step.
    generator_batch_multiple: minibatches of fakes in a generator update, in one pass (2 in the code of Gulrajani et al.
    2017, GEN_BS_MULTIPLE).
    """

    def __init__(
        self,
        discriminator_steps: PositiveInt = 1,
        generator_steps: PositiveInt = 1,
        updates: Literal["alternating", "simultaneous"] = "alternating",
        generator_batch_multiple: PositiveInt = 1,
    ):
        counts = {"discriminator_steps": discriminator_steps, "generator_steps": generator_steps}
        for name, value in (counts | {"generator_batch_multiple": generator_batch_multiple}).items():
            if value < 1:
                raise UserError(f"schedule.{name}={value}: give at least 1")
        if updates not in ("alternating", "simultaneous"):
            raise UserError(f"schedule.updates={updates}: give alternating or simultaneous")
        if generator_batch_multiple > 1 and updates == "simultaneous":
            raise UserError(
                f"schedule.generator_batch_multiple={generator_batch_multiple}: in simultaneous updates both players "
                "use the same fakes: set updates=alternating, or a multiple of 1"
            )
        self.discriminator_steps, self.generator_steps = discriminator_steps, generator_steps
        self.updates, self.generator_batch_multiple = updates, generator_batch_multiple
        d: Update = ("discriminator",)
        g: Update = ("generator",)
        last_d_first_g = (d + g,) if updates == "simultaneous" else (d, g)
        self._plan = (*[d] * (discriminator_steps - 1), *last_d_first_g, *[g] * (generator_steps - 1))

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
