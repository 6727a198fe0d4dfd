"""How the players' networks are run: in which precision, and compiled or not."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gan_research.utils.errors import UserError
from gan_research.utils.tf32 import products, temporarily

Precision = Literal["32", "tf32", "bf16", "fp16", "64"]

AUTOCAST: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def require_precision(precision: str, device: torch.device | None = None) -> None:
    """Raise where there is no such precision, or not on this device."""
    if precision not in get_args(Precision):
        raise UserError(f"precision={precision}: give 32, tf32, bf16, fp16 or 64")
    if precision == "tf32" and device is not None and device.type != "cuda":
        raise UserError("precision=tf32 is a mode of CUDA GPUs, and this game is played on the CPU: take 32 or bf16")


class Passes:
    """Forward passes of both players.

    An *exact* pass is in float32 (or float64) without autocast, and never compiled: what gradient penalties take, as
    compiled code has no second derivative, and half precision too few bits for it. Autocast is entered for each pass:
    a region around several steps would serve weights from before a step.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        average: nn.Module | None,
        precision: Precision,
        device: torch.device,
        compiled: bool,
    ) -> None:
        self.dtype = torch.float64 if precision == "64" else torch.float32
        self.precision, self.device = precision, device
        self._generator, self._discriminator = generator, discriminator
        self._run_generator: Any = torch.compile(generator) if compiled else generator
        self._run_discriminator: Any = torch.compile(discriminator) if compiled else discriminator
        self.sampled: Any = self._run_generator
        """The network that samples are drawn from: the generator's average, or itself where there is none."""
        if average is not None:
            self.sampled = torch.compile(average) if compiled else average

    @property
    def inexact(self) -> bool:
        """Whether a plain pass can't serve a gradient penalty."""
        return self.precision in AUTOCAST or self.precision == "tf32"

    def generate(self, latents: Tensor, labels: Tensor | None, exact: bool = False) -> Tensor:
        """Samples of latents."""
        return self._pass(self._generator if exact else self._run_generator, latents, labels, exact)

    def discriminate(self, images: Tensor, labels: Tensor | None, exact: bool = False, twice: bool = False) -> Tensor:
        """Logits of images. `twice`: the gradient will be differentiated, so that a compiled network won't do."""
        network = self._discriminator if exact or twice else self._run_discriminator
        return self._pass(network, images, labels, exact)

    def _pass(self, network: Any, inputs: Tensor, labels: Tensor | None, exact: bool) -> Tensor:
        if exact:
            with self.exactly():
                return network(inputs, labels)
        with self.autocast():
            return network(inputs, labels).to(self.dtype)

    def autocast(self) -> AbstractContextManager[Any]:
        """Around one pass."""
        if self.precision not in AUTOCAST:
            return nullcontext()
        return torch.autocast(self.device.type, AUTOCAST[self.precision])

    def exactly(self) -> AbstractContextManager[Any]:
        """Around what a gradient penalty computes, its backward included: no TF32 where the game is played in it."""
        return temporarily(products(tf32=False)) if self.precision == "tf32" else nullcontext()

    def playing(self) -> AbstractContextManager[Any]:
        """Around the game: float32 is TF32 where that was asked for, and nowhere else."""
        return temporarily(products(self.precision == "tf32")) if self.device.type == "cuda" else nullcontext()


@contextmanager
def frozen(parameters: list[nn.Parameter]) -> Iterator[None]:
    """No gradients for these parameters inside."""
    parameters = [p for p in parameters if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
