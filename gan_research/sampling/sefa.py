"""Directions of latents, or of w, that change samples most, by the generator's first weights."""

import torch
from torch import Tensor, nn

from gan_research.sampling.code_figure import image_grids
from gan_research.sampling.layer_noise import NoiseOf
from gan_research.sampling.sampler import Sampler, eval_mode
from gan_research.utils.errors import UserError, require
from gan_research.utils.images import grid, to_uint8
from gan_research.utils.lightning_compat import uncompiled
from gan_research.utils.plotting import png

LEFT = 84  # pixels for the labels of rows


@torch.no_grad()
def directions(generator: nn.Module) -> tuple[Tensor, Tensor]:
    """Compute the directions n_i in which the first affine maps A change most.

    Returns sigma_i = |A n_i| (k,), descending, and the n_i (k, in), orthonormal; float32 on the CPU. `in` is w_dim if
    the generator has a mapping, else latent_dim. They are the right singular vectors of all of
    `Generator.first_affines` together, with a positive component of the largest absolute value: the eigenvectors of
    A^T A of Shen & Zhou 2021, "Closed-form factorization of latent semantics in GANs", equation 6. (The authors' code
    scales the rows of A to length 1 first.)
    """
    network = uncompiled(generator)
    with eval_mode(network):  # a spectral norm in training mode would take a power iteration
        try:
            affines = network.first_affines()
        except NotImplementedError as error:
            name = type(network).__name__
            raise UserError(f"{name} doesn't tell its first affine maps: implement first_affines") from error
        matrix = torch.cat([weight.detach().cpu().double() for weight in affines])
    _, sigmas, rows = torch.linalg.svd(matrix, full_matrices=False)
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return sigmas.float(), (rows * largest.sign()).float()


def moved(
    sampler: Sampler, latents: Tensor, labels: Tensor | None, moves: Tensor, noise_of: NoiseOf | None = None
) -> Tensor:
    """Generate samples from latents, or from w if there is a mapping, moved by vectors.

    moves: (n, in); those of w are added in all layers. latents (n, latent_dim), labels and noise_of: as in `Sampler.generate`.
    """
    mapped = sampler.map(latents, labels)
    moves = moves.to(mapped)
    return sampler.synthesise(mapped + (moves[:, None] if mapped.dim() > 2 else moves), labels, noise_of=noise_of)


def directions_png(
    sampler: Sampler, seed: int = 0, count: int = 8, steps: int = 7, shift: float = 3.0, label: int | None = None
) -> bytes:
    """Return a PNG of sample 0 of the seed, moved along its first `count` directions.

    A row for each direction, and a column for each of `steps` moves from -shift to shift. label: its class.
    """
    require(2, steps=steps)
    if sampler.generates_points:
        raise UserError("this generator makes points: directions are shown in images")
    sigmas, vectors = (values[:count] for values in directions(sampler.generator))
    moves, n = torch.linspace(-shift, shift, steps), steps * len(vectors)
    latents, labels = sampler.latents(1, seed).expand(n, -1), sampler.labels(1, label)
    along = (vectors[:, None] * moves[:, None]).flatten(0, 1)
    samples = moved(sampler, latents, labels if labels is None else labels.expand(n), along, NoiseOf(seed, [0] * n))
    rows = [f"{i}: \N{GREEK SMALL LETTER SIGMA} = {sigma:.3g}" for i, sigma in enumerate(sigmas.tolist(), 1)]
    title = f"{'latents' if sampler.mapped is None else 'w'} moved by"
    image = grid(to_uint8(samples, sampler.value_range), steps)
    return png(image_grids([(title, rows, image)], [f"{move:.2g}" for move in moves.tolist()], LEFT))
