"""The layout of codes in latents (InfoGAN: Chen et al. 2016, section 4)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_research.utils.errors import UserError, require


@dataclass(frozen=True)
class Codes:
    """The codes that are the last `size` coordinates of latents.

    categorical: number of one-hot codes, first, each of `categories` values. continuous: number of codes from -1 to 1.
    """

    categorical: int
    categories: int
    continuous: int

    def __post_init__(self) -> None:
        require(0, categorical=self.categorical, continuous=self.continuous)
        require(2, categories=self.categories)
        if self.size == 0:
            raise UserError("categorical=0 and continuous=0 make no codes: set one of them")

    @property
    def size(self) -> int:
        """The number of coordinates of all codes."""
        return self.categorical * self.categories + self.continuous

    def split(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the other coordinates, one-hot codes, and continuous codes (..., continuous).

        One-hot codes are (..., categorical, categories).
        """
        first, one_hot = latents.shape[-1] - self.size, self.categorical * self.categories
        rest, flat, continuous = latents.split([first, one_hot, self.continuous], -1)
        return rest, flat.unflatten(-1, (self.categorical, self.categories)), continuous

    def vary(self, latents: Tensor, number: int, steps: int = 10) -> tuple[Tensor, Tensor]:
        """Return the values (V,) of one code, and latents (V, N, ...) with each of them.

        number: counts categorical codes first. steps: the number of values of a continuous code.
        """
        first = latents.shape[-1] - self.size
        if number < self.categorical:
            first += number * self.categories
            values, coordinates = torch.arange(self.categories), torch.eye(self.categories)
        else:
            first += self.categorical * (self.categories - 1) + number
            values = torch.linspace(-1, 1, steps)
            coordinates = values[:, None]
        varied = latents.repeat(len(values), 1, 1)
        varied[..., first : first + coordinates.shape[1]] = coordinates[:, None].to(latents)
        return values, varied

    def __str__(self) -> str:
        return f"{self.categorical} x {self.categories} categorical and {self.continuous} continuous codes"
