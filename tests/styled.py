"""A small generator with a mapping, for tests of what happens to its latents, w and noise."""

import torch
from torch import Tensor, nn

from gan_research.networks import MappedGenerator
from gan_research.networks.layers import class_rows
from gan_research.utils.sample_spec import SampleSpec


class SmallStyles(MappedGenerator):
    """w = tanh(A z + b_y); sample = sum over layers l of B_l w_l + s * noise."""

    def __init__(self, latent_dim: int, samples: SampleSpec, num_ws: int = 4, w_dim: int = 6) -> None:
        super().__init__(latent_dim, samples)
        self.num_ws, self.w_dim = num_ws, w_dim
        self.noise_dim = int(torch.Size(samples.shape).numel())
        self.affine = nn.Linear(latent_dim, w_dim)
        self.classes = nn.Parameter(torch.randn(max(samples.num_classes, 1), w_dim))
        self.styles = nn.Linear(num_ws * w_dim, self.noise_dim, bias=False)
        self.strength = nn.Parameter(torch.tensor(0.5))

    def first_affines(self) -> list[Tensor]:
        return [*self.styles.weight.split(self.w_dim, 1)]

    def to_w(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        inputs: Tensor = self.affine(latents)
        return (inputs if labels is None else inputs + class_rows(labels, self.classes)).tanh()

    def synthesise(self, ws: Tensor, noise: Tensor | None = None) -> Tensor:
        samples: Tensor = self.styles(ws.flatten(1))
        if noise is not None:
            samples = samples + self.strength * noise
        return samples.view(-1, *self.samples.shape)
