"""The division of a round's samples by update, micro-batch and rank."""

from dataclasses import dataclass

from torch import Tensor

from gan_research.utils.errors import UserError


@dataclass(frozen=True)
class RoundLayout:
    """The place of one rank in a round of `minibatches`, each of `accumulation` micro-batches.

    A rank holds one block of each micro-batch, so that several ranks train on the same micro-batches as one.
    """

    minibatches: int = 1
    accumulation: int = 1
    rank: int = 0
    world_size: int = 1

    @property
    def parts(self) -> int:
        """The number of blocks of a minibatch, over all ranks."""
        return self.accumulation * self.world_size

    def check(self, batch_size: int, multiple: int = 1) -> None:
        """Raise a UserError unless a minibatch divides into blocks of a multiple of so many samples."""
        if batch_size % self.parts:
            raise UserError(
                f"batch_size={batch_size} can't be divided into {self.parts} parts, accumulation={self.accumulation} "
                f"on {self.world_size} devices: make it a multiple of {self.parts}"
            )
        if batch_size // self.parts % multiple:
            raise UserError(
                f"batch_size={batch_size} isn't made of the discriminator's packs or groups of {multiple}: choose one "
                f"that devices x accumulation x {multiple} = {self.world_size} x {self.accumulation} x {multiple} "
                "divides, or other discriminator.packing and minibatch_std_group"
            )

    def block(self, part: int, size: int) -> tuple[int, int, int]:
        """Return (minibatch size, start, stop) of this rank's block, of `size` samples, in micro-batch `part`."""
        start = (part * self.world_size + self.rank) * size
        return self.parts * size, start, start + size

    def shard(self, values: Tensor) -> Tensor:
        """Return this rank's blocks of a whole round: (k * batch_size, ...) -> (k * batch_size / world_size, ...)."""
        if self.world_size == 1:
            return values
        micro_batches = self.minibatches * self.accumulation
        return values.unflatten(0, (micro_batches, self.world_size, -1))[:, self.rank].flatten(0, 1)
