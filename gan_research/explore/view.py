"""A view of a generator: a sample, and its changes."""

from dataclasses import dataclass

from gan_research.sampling.layer_noise import Kind


@dataclass(frozen=True)
class Place:
    """A sample of `gan sample`: number i of a seed; label None: its class is i mod the number of classes."""

    seed: int = 0
    number: int = 0
    label: int | None = None


@dataclass(frozen=True)
class View:
    """The settings of an image; by default it is the plain sample `place`.

    end, position: the other end of an interpolation, and the way from `place` (0) to it (1).
    truncation: the threshold of latents, see `Sampler.truncated`; None: the whole prior.
    psi, cutoff, noise: see `Sampler.styled`.
    moves: steps along the directions of SeFa, of the largest sigma first; those that are missing are 0.
    """

    place: Place = Place()
    end: Place = Place(seed=1)
    position: float = 0.0
    truncation: float | None = None
    psi: float = 1.0
    cutoff: int | None = None
    noise: Kind = "random"
    moves: tuple[float, ...] = ()
