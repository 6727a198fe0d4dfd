"""Generators that map latents to vectors w, one for each layer, and these to images."""

from abc import abstractmethod

from torch import Tensor

from gan_research.networks.base import Generator


class MappedGenerator(Generator):
    """Base of generators with a mapping network (StyleGAN, Karras et al. 2019): latents -> w -> images.

    There are `num_ws` layers with a vector w of `w_dim` numbers each. Latents are (N, latent_dim), whose w all layers
    share, or (N, num_ws, latent_dim), one for each layer. A subclass sets both numbers, and implements `to_w` and
    `synthesise`.
    """

    num_ws: int
    w_dim: int

    def map(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents, and labels as in `forward`, to the layers' w: (N, num_ws, w_dim)."""
        self.check_labels(labels)
        if latents.dim() == 2:
            return self.to_w(latents, labels)[:, None].expand(-1, self.num_ws, -1)
        repeated = None if labels is None else labels.repeat_interleave(self.num_ws, dim=0)
        return self.to_w(latents.flatten(0, 1), repeated).unflatten(0, (-1, self.num_ws))

    def generate(self, latents: Tensor, labels: Tensor | None, noise: Tensor | None = None) -> Tensor:
        return self.synthesise(self.map(latents, labels), noise)

    def first_affines(self) -> list[Tensor]:
        raise NotImplementedError  # those of w: only the subclass knows them

    @abstractmethod
    def to_w(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Map latents (N, latent_dim) to w (N, w_dim)."""

    @abstractmethod
    def synthesise(self, ws: Tensor, noise: Tensor | None = None) -> Tensor:
        """Generate images from w (N, num_ws, w_dim) and the layers' noise (N, noise_dim), if any."""
