"""The classes of the fakes of an update."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_research.training.schedule import FakeLabelSource
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise


@dataclass
class FakeLabels:
    """Gives each fake a class: its real's (paired), a uniform one, or one with the frequency of the data.

    counts: (num_classes,) training samples of each class, which "data" needs.
    """

    source: FakeLabelSource = "paired"
    num_classes: int = 0
    counts: Tensor | None = None

    def __call__(self, paired: Tensor | None, noise: Noise) -> Tensor | None:
        """Return classes (N,) int64 of fakes, from those of the reals; None without classes."""
        if paired is None or self.source == "paired":
            return paired
        return noise.sample("fake labels", self.draw).long()

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n classes on the generator's device."""
        if self.source == "uniform":
            return torch.randint(self.num_classes, (n,), generator=generator, device=generator.device)
        if self.counts is None:
            raise UserError("schedule.fake_labels=data needs a data module with labels: set uniform or paired")
        counts = self.counts.to(generator.device, torch.float32)
        return torch.multinomial(counts, n, replacement=True, generator=generator)
