"""A generator as a program of torch.export, which torch runs without this project."""

import logging
from io import BytesIO
from typing import Any

import torch
from torch import Tensor, nn

from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.lightning_compat import uncompiled
from gan_research.utils.tf32 import products, temporarily

TOLERANCE = 1e-5  # the largest difference of the program's samples from the generator's


class Generate(nn.Module):
    """The map of a generator, without its checks, which read the size of a batch."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator: Any = generator

    def forward(self, latents: Tensor, labels: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        return self.generator.generate(latents, labels, *([noise] if self.generator.noise_dim else []))


def export_program(sampler: Sampler) -> bytes:
    """Return the content of a .pt2 file: the generator's map from latents to samples, for any size of a batch.

    Its inputs: latents (N, latent_dim); labels (N,) int64, if the generator has classes; noise (N, noise_dim), if its
    layers add any. Raises a UserError if torch can't export the generator, or the samples differ by more than 1e-5.
    """
    generator = uncompiled(sampler.generator)
    name, batch = type(generator).__name__, torch.export.Dim("batch")
    inputs = example(sampler, 2)
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    try:
        sizes = {key: {0: batch} for key in inputs}
        # torch can't read its own setting where TF32 is off; nothing is computed here
        with temporarily(products(tf32=True)):
            exported = torch.export.export(Generate(generator), (), inputs, dynamic_shapes=sizes)
        torch.export.save(exported, content := BytesIO())
    except Exception as error:
        advice = "it has to take any size of a batch, as latents.shape[0], and to branch on no value"
        raise UserError(f"{name} can't be exported as a program: {one_line(error)[:200]}: {advice}") from error
    program, inputs = exported.module(), example(sampler, 3)
    with torch.no_grad():
        difference = float((program(**inputs) - generator(**inputs)).abs().max())
    if not difference <= TOLERANCE:
        raise UserError(f"the program of {name} differs from it by {difference:g}: it isn't written")
    return content.getvalue()


def example(sampler: Sampler, n: int) -> dict[str, Tensor]:
    """Return the generator's inputs for samples 0 ... n - 1 of seed 0, by the names of its arguments."""
    weights = next(sampler.generator.parameters())
    inputs = {"latents": sampler.latents(n, 0), "labels": sampler.labels(n), "noise": sampler.layer_noise(0, range(n))}
    return {
        name: value.to(weights if value.is_floating_point() else weights.device)
        for name, value in inputs.items()
        if value is not None
    }
