"""Randomness as a function of (seed, purpose, position).

No random state is kept: a resumed run draws the same numbers as an uninterrupted one, and evaluation doesn't change
training.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


def stream_seed(seed: int, purpose: str, position: int = 0) -> int:
    """Return a 63-bit seed for the stream `purpose` at `position`."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(seed: int, purpose: str, position: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new random generator on `device` for the stream `purpose` at `position`.

    On the CPU torch's Mersenne Twister is seeded with 32 of the 63 bits.
    """
    return torch.Generator(device).manual_seed(stream_seed(seed, purpose, position))


def seed_layers(seed: int, device: torch.device) -> None:
    """Seed torch's own generators, from which layers such as dropout draw on `device`.

    (`torch.manual_seed` keeps a stack trace of each call where a GPU could be and isn't used.)
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


@dataclass(frozen=True)
class Noise:
    """The noise of one update: rows [start, stop) of numbers for the whole minibatch.

    Ranks and micro-batches take their own rows of the same draw, which therefore doesn't depend on their number. Drawn
    in torch's default dtype, float32, and converted to `dtype`.
    """

    seed: int
    position: int
    total: int
    start: int
    stop: int
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32

    def sample(self, purpose: str, sample: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return rows [start, stop) of `sample(total, generator)`: (total, ...)."""
        drawn = sample(self.total, generator_for(self.seed, purpose, self.position, self.device)).to(self.dtype)
        return drawn if self.stop - self.start == self.total else drawn[self.start : self.stop]

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Return numbers uniform on [0, 1): (stop - start, *shape)."""
        return self.sample(purpose, lambda n, g: torch.rand(n, *shape, generator=g, device=self.device))

    def common(self, purpose: str, *shape: int) -> Tensor:
        """Return numbers uniform on [0, 1) that the whole minibatch shares: (*shape)."""
        one = lambda n, g: torch.rand(1, *shape, generator=g, device=self.device).expand(n, *shape)  # noqa: E731
        return self.sample(purpose, one)[0]

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Return standard normal numbers: (stop - start, *shape)."""
        return self.sample(purpose, lambda n, g: torch.randn(n, *shape, generator=g, device=self.device))


@dataclass(frozen=True)
class RunSeeds:
    """The seeds of a run's random numbers.

    roll_backs: how often training went back to a checkpoint; each time the seeds change.
    """

    seed: int
    roll_backs: int
    rank: int

    def of(self, purpose: str, position: int = 0) -> int:
        """Return the seed of a stream."""
        suffix = f" after roll-back {self.roll_backs}" if self.roll_backs else ""
        return stream_seed(self.seed, purpose + suffix, position)

    def as_dict(self, players: Iterable[str], round: int) -> dict[str, int]:
        """Return the seeds of the players' streams, and of layers after `round` rounds."""
        return {**{player: self.of(player) for player in players}, f"layers of rank {self.rank}": self.layers(round)}

    def layers(self, round: int) -> int:
        """Return the seed of layers, such as dropout, on this rank after `round` rounds."""
        return self.of(f"layers of rank {self.rank}", round)
