"""Who moves when: Algorithm 1 of Goodfellow et al. 2014, k discriminator updates and then the generator's."""

from typing import Literal

from gan_research.losses import Player
from gan_research.utils.errors import UserError

Move = tuple[Player, ...]


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

        d: Move = ("discriminator",)
        g: Move = ("generator",)
        meeting = (d + g,) if updates == "simultaneous" else (d, g)
        self._moves: tuple[Move, ...] = (d,) * (discriminator_steps - 1) + meeting + (g,) * (generator_steps - 1)

    def moves(self, round: int) -> tuple[Move, ...]:
        """The moves of `round`, in order; the players named in one move step together."""
        return self._moves
